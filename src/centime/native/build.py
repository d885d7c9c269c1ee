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
FLAGS = ("-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Wno-psabi")
# What the files of kernels ask of a processor, as the compiler has it: "FILE FLAG FLAG ..." a line.
KERNEL_FLAGS = Path("kernels", "flags.txt")


class CannotBuild(Exception):
    """Why there is no library, in a sentence."""


def target(sources: Path, cache: Path, extra: Sequence[str] = ()) -> Path:
    """Where the library of these sources stands, or will. Raises CannotBuild where there is no compiler."""
    files = [*_files(sources), *sources.rglob("*.h"), *sources.glob(str(KERNEL_FLAGS))]
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
                with tempfile.TemporaryDirectory(dir=library.parent) as made:
                    compiler = _compiler()
                    _compile(compiler, sources, Path(made), extra)
                    os.replace(Path(made) / NAME, library)
    except OSError as error:
        raise CannotBuild(f"{library.parent} cannot be written: {error}") from None
    return library


def _compiler() -> list[str]:
    """$CXX, or the first of COMPILERS that is there."""
    named = shlex.split(os.environ.get("CXX", ""))
    found = [shutil.which(name) for name in ([named[0]] if named else COMPILERS)]
    path = next((path for path in found if path), None)
    if path is None:
        raise CannotBuild(f"no C++ compiler was found ({' '.join(named[:1]) or ', '.join(COMPILERS)})")
    return [path, *named[1:]]


def kernel_flags(sources: Path) -> dict[str, list[str]]:
    """A file of kernels -> the flags that it is compiled with; those of other kinds of processors left out."""
    listed = sources / KERNEL_FLAGS
    if platform.machine() not in ("x86_64", "AMD64") or not listed.exists():
        return {}
    return {line.split()[0]: line.split()[1:] for line in listed.read_text().splitlines()}


def _files(sources: Path) -> list[Path]:
    """What is compiled: of the kernels those of this kind of processor."""
    here = {"portable.cpp", *kernel_flags(sources)}
    kernels = [file for file in (sources / "kernels").glob("*.cpp") if file.name in here]
    return sorted((*sources.glob("*.cpp"), *kernels))


def _knows(compiler: Sequence[str], flags: Sequence[str]) -> bool:
    """Whether the compiler knows what a file of kernels is written for; the library does without the others."""
    asked = [*compiler, *flags, "-x", "c++", "-fsyntax-only", os.devnull]
    return not subprocess.run(asked, capture_output=True, check=False).returncode


def _mark(files: Sequence[Path], compiler: Sequence[str], extra: Sequence[str]) -> str:
    """Changes with any source, the compiler and its version, and the flags."""
    mark = hashlib.blake2b(digest_size=8)
    for file in sorted(files):
        mark.update(file.name.encode() + b"\0" + file.read_bytes())
    version = subprocess.run([compiler[0], "--version"], capture_output=True, check=False).stdout
    mark.update(repr((compiler, version, FLAGS, tuple(extra), platform.machine())).encode())
    return mark.hexdigest()


def _compile(compiler: Sequence[str], sources: Path, folder: Path, extra: Sequence[str]) -> None:
    needed = kernel_flags(sources)

    def one(file: Path) -> str | None:
        flags = needed.get(file.name, [])
        if flags and not _knows(compiler, flags):
            return None
        out = folder / f"{file.parent.name}-{file.stem}.o"
        _run([*compiler, *FLAGS, *flags, *extra, "-c", str(file), "-o", str(out)])
        return str(out)

    with ThreadPoolExecutor(os.cpu_count()) as several:
        objects = [made for made in several.map(one, _files(sources)) if made]
    _run([*compiler, "-shared", "-pthread", *extra, "-o", str(folder / NAME), *objects])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise CannotBuild(f"{command[0]} could not compile the kernels: {first}")
