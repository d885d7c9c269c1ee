"""Set-up: a virtual environment beside the code, a torch that fits the machine, the download's size before it starts.

    python3 scripts/install.py [--venv .venv] [--extras dev,peers] [--torch 2.13.0]

Needs only Python >= 3.11 with pip. `make install`, `make quickstart` and `make test` call it; make's stamps in the
environment make their next call instant. Where an extra brings torch and there is no NVIDIA driver, $TORCH_INDEX
(default: PyTorch's index of CPU builds) is asked for it first, and done without when it does not answer within seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 5.0  # how long the first index may take to answer before we go on without it
RESOLVE_SECONDS = 180.0  # how long the index may take to say what would be downloaded
# Stated, as approximate, only when the index does not say.
APPROXIMATE = "about 400 MB with a CPU build of torch, about 3 GB with a CUDA build, for a first installation"


class SetupError(Exception):
    """A sentence for the person who typed `make`."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the environment's folder")
    parser.add_argument("--extras", default="", help="extras of pyproject.toml, comma-separated: dev,peers")
    parser.add_argument("--torch", default=None, help="another torch than the pinned one, such as 2.15.0")
    options = parser.parse_args(argv)
    try:
        install(options.venv.absolute(), [e for e in options.extras.split(",") if e], options.torch)
    except SetupError as error:
        print(f"install: {error}", file=sys.stderr)
        return 2
    return 0


def install(venv: Path, extras: list[str], torch: str | None) -> None:
    """Creates or repairs `venv` and installs centime there, editable, with `extras` and everything else pinned.

    Raises SetupError with what was found and what to do.
    """
    started = time.monotonic()
    python = environment(venv)
    with tempfile.TemporaryDirectory() as scratch:
        constraints = write_constraints(Path(scratch) / "constraints.txt", torch)
        with_torch = brings_torch(extras)
        index = torch_index() if with_torch else []
        requirements = ["setuptools", *([f"torch=={torch}"] if torch else [])]
        # A pip that can say what it would download without downloading it, and our own setuptools to build the
        # editable package: 3 MB that come unannounced.
        pip(python, "install", *index, "-c", str(constraints), "--quiet", "pip", "setuptools")
        target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
        arguments = [*index, "-c", str(constraints), "--no-build-isolation", *requirements, "--editable", target]
        announce(python, arguments)
        pip(python, "install", "--quiet", *arguments)
    module = "torch" if with_torch else "centime"
    said = run([python, "-c", f"import {module}; print({module}.__version__)"])
    if said.returncode:
        raise SetupError(
            f"{module} does not import in {venv}: {last_line(said.stderr)} Remove {venv} and run this again."
        )
    print(f"install: ready in {time.monotonic() - started:.0f} s: {relative(venv)}, {module} {said.stdout.strip()}")


def brings_torch(extras: Iterable[str]) -> bool:
    """Whether one of the extras, or an extra that it names, asks for torch."""
    import tomllib  # which the Pythons that environment() refuses do not have

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in (line for extra in extras for line in known.get(extra, [])):
        match = re.match(r"([\w-]+)(?:\[([\w,-]+)\])?", line)
        if match and (match[1] == "torch" or (match[1] == "centime" and brings_torch(match[2].split(",")))):
            return True
    return False


def environment(venv: Path) -> Path:
    """The Python of `venv`, created if it is absent or does not start (a moved folder, a removed Python)."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before anything has checked
        raise SetupError(
            f"this is Python {sys.version.split()[0]}; centime needs 3.11 or newer. "
            "Name one, as in: make install PYTHON=python3.12"
        )
    python = venv / "bin" / "python"
    if python.exists() and run([python, "-m", "pip", "--version"]).returncode == 0:
        return python
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise SetupError(f"{venv} exists and is not a virtual environment; move it away or name another with VENV=")
    print(f"install: creating {relative(venv)} with Python {sys.version.split()[0]}")
    made = run([sys.executable, "-m", "venv", "--clear", venv])
    if made.returncode:
        # Debian splits ensurepip off; an environment without pip, filled by the pip that is here, needs nothing more.
        made = run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv])
        if made.returncode == 0:
            made = run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "pip"])
    if made.returncode:
        raise SetupError(f"could not create {venv}: {last_line(made.stderr or made.stdout)}")
    return python


def write_constraints(path: Path, torch: str | None) -> Path:
    """constraints.txt, less the pins that follow torch's version when another one is asked for."""
    lines = CONSTRAINTS.read_text().splitlines()
    if torch:
        lines = [line for line in lines if not re.match(r"(torch|triton)==", line)]
    path.write_text("\n".join(lines) + "\n")
    return path


def has_nvidia_driver() -> bool:
    """Whether this machine can run the CUDA build: the kernel driver is loaded, or its tool is there."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def torch_index() -> list[str]:
    """pip's options for the index to try first: $TORCH_INDEX, or PyTorch's CPU builds if there is no NVIDIA driver."""
    url = os.environ.get("TORCH_INDEX", "" if has_nvidia_driver() else CPU_INDEX).rstrip("/")
    if not url:
        return []
    if answers(f"{url}/torch/", PROBE_SECONDS):
        print(f"install: torch from {url} (TORCH_INDEX)")
        # Beside pip's own index, not instead of it: 2.13.0+cpu is newer than 2.13.0 by the rules of versions.
        return ["--extra-index-url", url]
    print(f"install: {url} does not answer; torch comes from pip's own index (TORCH_INDEX names another to try first)")
    return []


def answers(url: str, seconds: float) -> bool:
    """Whether `url` can be read at all, decided within `seconds`, name look-up included."""
    found: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(request(url, "HEAD"), timeout=seconds, context=certificates()):
                found.append(True)
        except Exception:  # any failure, of whatever layer, means the same: go on without this index
            found.append(False)

    thread = threading.Thread(target=ask, daemon=True)  # a name look-up has no time-out of its own; do not wait for it
    thread.start()
    thread.join(seconds)
    return found == [True]


def announce(python: Path, arguments: list[str]) -> None:
    """Says what `pip install arguments` will download, before it does."""
    print("install: asking the index what is missing ...", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", str(report), *arguments]
        try:
            run(command, timeout=RESOLVE_SECONDS)
            wanted = json.loads(report.read_text())["install"]
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError):
            print(f"install: the index does not say how much; {APPROXIMATE}", flush=True)
            return
    urls = [item["download_info"]["url"] for item in wanted if "dir_info" not in item["download_info"]]
    if not urls:
        print("install: nothing to download")
        return
    local = [url for url in urls if url.startswith("file:")]
    remote = [url for url in urls if not url.startswith("file:")]
    print(f"install: {describe(remote, local)}", flush=True)
    if any("nvidia" in item["metadata"]["name"] for item in wanted) and not has_nvidia_driver():
        print("install: no CPU build of torch here, so the CUDA build comes, which runs on the CPU as well")


def describe(remote: list[str], local: list[str]) -> str:
    """'12 packages to download, 66 MB; 20 more are on this disk, 210 MB', marking a total that lacks some sizes."""
    sizes = list(ThreadPoolExecutor(8).map(size_of, remote))
    known = sum(size for size in sizes if size is not None)
    unknown = sizes.count(None)
    text = f"{len(remote)} packages to download, {megabytes(known)}" if remote else "nothing to download"
    if unknown:
        text += f" and {unknown} more whose size the index does not say"
    if local:
        text += f"; {len(local)} from this disk, {megabytes(sum(size_of(url) or 0 for url in local))}"
    return text


def size_of(url: str) -> int | None:
    """Bytes behind `url` as its server states them, None when it does not."""
    try:
        with urllib.request.urlopen(request(url, "HEAD"), timeout=10, context=certificates()) as answer:
            return int(answer.headers["Content-Length"])
    except Exception:  # a size is a courtesy: no failure to know it may stop the installation
        return None


def request(url: str, method: str) -> urllib.request.Request:
    return urllib.request.Request(url, method=method, headers={"User-Agent": "centime-install"})


def certificates() -> ssl.SSLContext:
    """The machine's certificates, or those that pip was told to trust."""
    return ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"))


def pip(python: Path, *arguments: str) -> None:
    """Runs pip and lets its errors through to the person. Raises SetupError when it fails."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        for line in notable(done.stderr.splitlines()):
            print(line, file=sys.stderr)
        raise SetupError(
            "pip failed, see above. Is a package index within reach (pip config list)? Is the disk full (df -h)?"
        )


def notable(lines: Iterable[str]) -> list[str]:
    """pip's messages without the warnings about places that a machine's configuration names and that do not exist."""
    return [line for line in lines if not re.match(r"WARNING: Location .* is ignored", line)]


def run(command: Sequence[str | Path], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout)


def relative(path: Path) -> str:
    return os.path.relpath(path)


def megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


if __name__ == "__main__":
    sys.exit(main())
