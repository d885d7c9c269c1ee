"""The kernels' library from its sources: compiled once a machine, in seconds, into a folder of caches."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAME = "libcentime.so"
COMPILERS = ("c++", "g++", "clang++")  # after $CXX
# float32 sums stay in the order in which they are written: no -ffast-math
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wno-psabi")
# What files ask of the compiler besides, those of kernels their processor's instructions: "FILE FLAG FLAG ..." a line.
OWN_FLAGS = "flags.txt"
CPU_INFO = Path("/proc/cpuinfo")
_MACHINES = ("x86_64", "AMD64")  # whose instructions the files of kernels are written for


class CannotBuild(Exception):
    """Why there is no library, in a sentence."""


def target(sources: Path, cache: Path, extra: Sequence[str] = ()) -> Path:
    """Where the library of these sources stands, or will. Raises CannotBuild where there is no compiler."""
    files = [*compiled(sources), *sources.rglob("*.h"), *sources.glob(OWN_FLAGS)]
    return cache / f"native-{_mark(files, _compiler(), extra)}" / NAME


def build(sources: Path, cache: Path, extra: Sequence[str] = ()) -> Path:
    """The library of these sources, built if this machine has none of them yet.

    extra: more flags for the compiler and the linker. Raises CannotBuild where there is no compiler, it fails, or the
    cache cannot be written.
    """
    library = target(sources, cache, extra)
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with (library.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several that begin at once, one builds
            if not library.exists():
                for left in library.parent.glob("made-*"):  # by one that was killed
                    shutil.rmtree(left)
                with tempfile.TemporaryDirectory(prefix="made-", dir=library.parent) as made:
                    _compile(_compiler(), sources, Path(made), extra)
                    with (Path(made) / NAME).open("rb+") as written:
                        os.fsync(written.fileno())
                    os.replace(Path(made) / NAME, library)
    except OSError as error:
        raise CannotBuild(f"{library.parent} cannot be written: {error}") from None
    return library


def compiled(sources: Path) -> list[Path]:
    """What is compiled here: of the kernels the portable ones, and those whose instructions this processor has."""
    there = instructions()
    asked = {
        file: {_plain(flag.removeprefix("-m")) for flag in flags if flag.startswith("-m")}
        for file, flags in own_flags(sources).items()
    }
    portable = sources / "kernels" / "portable.cpp"
    kernels = [sources / file for file, needs in asked.items() if needs and (there is None or needs <= there)]
    # the kernels first, which take the compiler longest
    return [*sorted(kernels), *([portable] if portable.exists() else []), *sorted(sources.glob("*.cpp"))]


def instructions() -> frozenset[str] | None:
    """What this processor has, by Linux' names without their underscores; None where nobody says."""
    if platform.machine() not in _MACHINES:
        return frozenset()
    try:
        said = CPU_INFO.read_text()
    except OSError:
        return None
    flags = next((line for line in said.splitlines() if line.startswith("flags")), "")
    return frozenset(map(_plain, flags.partition(":")[2].split()))


def own_flags(sources: Path) -> dict[str, list[str]]:
    """A file, as its path below the sources -> the flags that it is compiled with besides FLAGS."""
    listed = sources / OWN_FLAGS
    lines = listed.read_text().splitlines() if listed.exists() else []
    return {line.split()[0]: line.split()[1:] for line in lines}


def _plain(name: str) -> str:
    """Compilers say amx-tile and avx512bf16, Linux amx_tile and avx512_bf16."""
    return name.replace("-", "").replace("_", "")


def _compiler() -> list[str]:
    """$CXX, or the first of COMPILERS that is there."""
    named = shlex.split(os.environ.get("CXX", ""))
    found = [shutil.which(name) for name in ([named[0]] if named else COMPILERS)]
    path = next((path for path in found if path), None)
    if path is None:
        raise CannotBuild(f"no C++ compiler was found ({' '.join(named[:1]) or ', '.join(COMPILERS)})")
    return [path, *named[1:]]


def _knows(compiler: Sequence[str], flags: Sequence[str]) -> bool:
    """Whether the compiler knows what a file of kernels is written for; the library does without the others."""
    asked = [*compiler, *flags, "-x", "c++", "-fsyntax-only", os.devnull]
    return not subprocess.run(asked, capture_output=True, check=False).returncode


def _mark(files: Sequence[Path], compiler: Sequence[str], extra: Sequence[str]) -> str:
    """Changes with any source, with which of them are compiled, the compiler and its version, and the flags."""
    mark = hashlib.blake2b(digest_size=8)
    for file in sorted(files):
        mark.update(file.name.encode() + b"\0" + file.read_bytes())
    version = subprocess.run([compiler[0], "--version"], capture_output=True, check=False).stdout
    mark.update(repr((compiler, version, FLAGS, tuple(extra), platform.machine())).encode())
    return mark.hexdigest()


def _compile(compiler: Sequence[str], sources: Path, folder: Path, extra: Sequence[str]) -> None:
    needed = own_flags(sources)

    def one(file: Path) -> str | None:
        flags = needed.get(file.relative_to(sources).as_posix(), [])
        if file.parent != sources and flags and not _knows(compiler, flags):
            return None
        out = folder / f"{file.parent.name}-{file.stem}.o"
        _run([*compiler, *FLAGS, *flags, *extra, "-c", str(file), "-o", str(out)])
        return str(out)

    with ThreadPoolExecutor(os.cpu_count()) as several:
        objects = [made for made in several.map(one, compiled(sources)) if made]
    _run([*compiler, "-shared", "-pthread", *extra, "-o", str(folder / NAME), *objects])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise CannotBuild(f"{command[0]} could not compile the kernels: {first}")
