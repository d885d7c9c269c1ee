"""The library is built once, by one, from the sources as they are; and what is said where it cannot be."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.forked import python_process

from centime.native import build as building
from centime.native import library as native
from centime.native.build import COMPILERS, FLAGS, CannotBuild, build, compiled, own_flags, target
from centime.native.library import SOURCES, Library
from centime.version import version

pytestmark = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler")

ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")  # a compiler, and what runs its programs
ANSWER = 'extern "C" __attribute__((visibility("default"))) int answer() { return %d; }\n'


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "native"
    (folder / "kernels").mkdir(parents=True)
    (folder / "answer.cpp").write_text(ANSWER % 42)
    return folder


def answer(library: Path) -> int:
    return int(ctypes.CDLL(str(library)).answer())


def test_built_once_by_several_at_a_time(sources: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as several:
        found = set(several.map(lambda _: build(sources, tmp_path / "cache"), range(4)))
    (library,) = found
    assert answer(library) == 42
    made = library.stat().st_mtime_ns
    assert build(sources, tmp_path / "cache").stat().st_mtime_ns == made
    assert {path.name for path in library.parent.iterdir()} == {"lock", "libcentime.so"}


def test_other_sources_and_flags_are_other_libraries(sources: Path, tmp_path: Path) -> None:
    first = build(sources, tmp_path)
    (sources / "answer.cpp").write_text(ANSWER % 43)
    second = build(sources, tmp_path)
    assert first != second
    assert (answer(first), answer(second)) == (42, 43)
    assert build(sources, tmp_path, ["-g"]) != second
    (sources / "more.h").write_text("// nothing\n")
    assert build(sources, tmp_path) != second


@pytest.mark.parametrize(
    ("compiler", "sentence"),
    [("no-such-compiler", r"no C\+\+ compiler was found \(no-such-compiler\)"), ("false", "could not compile")],
)
def test_a_compiler_that_is_not_there_or_fails(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, sentence: str
) -> None:
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(CannotBuild, match=sentence):
        build(sources, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_the_flags_of_cxx_are_passed_on(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sources / "answer.cpp").write_text((ANSWER % 7).replace("7", "NUMBER"))
    monkeypatch.setenv("CXX", "c++ -DNUMBER=9")
    assert answer(build(sources, tmp_path / "cache")) == 9


def test_kernels_that_a_compiler_does_not_know_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of it: without optimising and without the templates of AVX2 it is compiled in a few seconds."""
    old = tmp_path / "old-compiler"
    old.write_text(
        '#!/bin/sh\ncase "$*" in *avx2*|*avx512*|*amx*) echo "error: unrecognized option" >&2; exit 1;; esac\n'
        'exec c++ "$@" -O0\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("CXX", str(old))
    small = Library(build(SOURCES, tmp_path / "cache"))
    assert small.kernels == "portable"
    assert not small.choose("amx")
    assert small.choose("portable")


def test_an_error_in_the_sources_is_the_sentence(sources: Path, tmp_path: Path) -> None:
    (sources / "answer.cpp").write_text("int f( {\n")
    with pytest.raises(CannotBuild, match=r"could not compile the kernels: .*error"):
        build(sources, tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_that_cannot_be_written(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(CannotBuild, match="cannot be written"):
        build(sources, tmp_path / "cache")


def test_a_cache_under_a_file(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(CannotBuild, match="cannot be written"):
        build(sources, tmp_path / "cache")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CENTIME_NATIVE": "0"}, "CENTIME_NATIVE=0"),
        ({"CXX": "x-x"}, "x-x"),
        ({"XDG_CACHE_HOME": "/dev/null/cache"}, "cannot be written"),
    ],
)
def test_without_a_library_everything_is_computed_by_torch(
    environment: dict[str, str], reason: str, tmp_path: Path
) -> None:
    known = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **environment}
    with python_process("tests.native.torch_alone", env=known, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert reason in said


def test_every_file_of_kernels_says_what_it_asks_of_a_processor() -> None:
    files = {file.relative_to(SOURCES).as_posix() for file in SOURCES.rglob("*.cpp")}
    asking = {file for file, flags in own_flags(SOURCES).items() if any(flag.startswith("-m") for flag in flags)}
    assert asking | {"kernels/portable.cpp"} == {file for file in files if file.startswith("kernels/")}
    assert set(own_flags(SOURCES)) <= files


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="kernels for other processors")
@pytest.mark.parametrize(
    ("has", "kernels"),
    [
        ("sse2", set()),
        ("avx2 f16c fma", {"avx2"}),
        ("avx2 avx512bw avx512dq avx512f avx512vl f16c fma", {"avx2", "avx512"}),
        ("avx2 avx512_bf16 avx512_vnni avx512bw avx512dq avx512f avx512vl fma", {"avx512_bf16"}),
        (None, {"avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx"}),
    ],
)
def test_kernels_for_instructions_that_a_processor_lacks_are_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: str | None, kernels: set[str]
) -> None:
    if has is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {has}\n\nprocessor\t: 1\n")
    whole = target(SOURCES, tmp_path)
    monkeypatch.setattr(building, "CPU_INFO", tmp_path / "cpuinfo")
    files = compiled(SOURCES)
    assert {file.stem for file in files if file.parent.name == "kernels"} == {"portable", *kernels}
    assert {file.stem for file in files if file.parent == SOURCES} == {file.stem for file in SOURCES.glob("*.cpp")}
    assert has is None or target(SOURCES, tmp_path) != whole or "amx" in kernels


def test_what_a_killed_build_left_is_never_loaded(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, kills = tmp_path / "cache", tmp_path / "kills"
    kills.write_text('#!/bin/sh\nc++ "$@"\ncase "$*" in *-shared*) kill -9 $PPID;; esac\n')
    kills.chmod(0o755)
    monkeypatch.setenv("CXX", str(kills))
    program = "import sys, pathlib; from centime.native.build import build; build(*map(pathlib.Path, sys.argv[1:]))"
    assert subprocess.run([sys.executable, "-c", program, sources, cache], check=False).returncode == -9
    library = target(sources, cache)
    assert list(library.parent.rglob("*.so"))
    assert not library.exists()
    kills.write_text('#!/bin/sh\nexec c++ "$@"\n')
    assert answer(build(sources, cache)) == 42
    assert {path.name for path in library.parent.iterdir()} == {"lock", "libcentime.so"}


@pytest.mark.parametrize("watched", [True, False])
def test_who_waits_at_a_terminal_is_told_for_what(tmp_path: Path, watched: bool) -> None:
    ours, theirs = os.openpty() if watched else os.pipe()
    known = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "CXX": "false"}
    program = "from centime.native.library import library; library()"
    subprocess.run([sys.executable, "-c", program], env=known, stderr=theirs, check=True)
    os.write(theirs, b"end\n")
    said = os.read(ours, 1000)
    os.close(ours)
    os.close(theirs)
    assert (b"compiling its kernels for this processor" in said) == watched


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **package: object) -> tuple[Library | None, str]:
    """What is found where there are no sources, but a package centime_native."""
    monkeypatch.setattr(native, "SOURCES", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "centime_native", SimpleNamespace(**package) if package else None)
    return native._found.__wrapped__()


def test_the_library_of_an_installed_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing, why = installed(monkeypatch, tmp_path)
    assert nothing is None
    assert "centime-native has them" in why
    nothing, why = installed(monkeypatch, tmp_path, __version__="0.0.7", LIBRARY=tmp_path)
    assert nothing is None
    assert re.fullmatch(r"centime-native 0\.0\.7 is not of centime's version, .+", why)
    nothing, why = installed(monkeypatch, tmp_path, __version__=version(), LIBRARY=tmp_path / "gone.so")
    assert nothing is None
    assert "our kernels cannot be loaded" in why
    there = build(SOURCES, native._cache())
    found, why = installed(monkeypatch, tmp_path, __version__=version(), LIBRARY=there)
    assert found is not None
    assert not why


@pytest.mark.long
def test_the_wheel_runs_where_there_is_no_clone(tmp_path: Path) -> None:
    """Built by its own back end, for every Python; installed beside centime's files without their sources."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(SOURCES)], check=True)
    (wheel,) = tmp_path.glob("centime_native-*-py3-none-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "there"), str(wheel)], check=True)
    shutil.copytree(SOURCES.parent / "src" / "centime", tmp_path / "there" / "centime")
    program = "import centime_native, centime.native.library as found; print(found.library().kernels, found.__file__)"
    known = {**os.environ, "PYTHONPATH": str(tmp_path / "there")}
    done = subprocess.run([sys.executable, "-c", program], env=known, capture_output=True, text=True, check=True)
    kernels, file = done.stdout.split()
    assert kernels == Library(build(SOURCES, tmp_path / "cache")).kernels
    assert file.startswith(str(tmp_path))


def checks(compiler: str, library: Path, flags: Sequence[str] = ()) -> Path:
    """The program of native/checks, linked to a library and beside it."""
    program, files = library.with_name("checks"), sorted(map(str, (SOURCES / "checks").glob("*.cpp")))
    linked = [*files, str(library), f"-Wl,-rpath,{library.parent}", "-o", str(program)]
    subprocess.run([compiler, *FLAGS, *flags, *linked], check=True)
    return program


def test_the_checks_call_every_function_of_the_interface() -> None:
    """So that the sanitizers look at all that Python calls."""
    interface = set(re.findall(r"\b(centime_\w+)\(", (SOURCES / "centime.h").read_text()))
    callers = [*(SOURCES / "checks").glob("*.cpp"), SOURCES / "layer.cpp"]  # a layer is made of others
    called = {name for file in callers for name in re.findall(r"\b(centime_\w+)\(", file.read_text())}
    assert interface - called == {"centime_kernels"}


@pytest.mark.long
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(sanitizer: str, tmp_path: Path) -> None:
    """Races of the pool, and reads or writes beside memory, on every kind of kernels that this processor runs."""
    flags = [f"-fsanitize={sanitizer}", "-g", "-O1"]
    library = build(SOURCES, tmp_path, flags)
    program = checks("c++", library, flags)
    known = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}  # a child may have threads of its own
    done = subprocess.run([str(program)], env=known, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "portable" in done.stdout


@pytest.mark.long
@pytest.mark.skipif(not all(map(shutil.which, ARM)), reason="no compiler for ARM, or nothing that runs its programs")
def test_kernels_on_another_kind_of_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The portable ones on ARM of 64 bits, emulated: Debian has both in g++-aarch64-linux-gnu and qemu-user."""
    compiler, emulator = ARM
    monkeypatch.setenv("CXX", compiler)
    program = checks(compiler, build(SOURCES, tmp_path))
    assert program.read_bytes()[18:20] == b"\xb7\x00"  # EM_AARCH64
    command = [emulator, "-L", "/usr/aarch64-linux-gnu", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "portable\n", "")
