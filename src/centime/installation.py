"""How this copy of centime was installed, and the command that adds to it what is missing.

`pip install 'centime[serve]'` is right for a copy that came from a package index and for no other: pip would look for a
name that the index does not have, or that is somebody else's. pip writes down where a copy came from
(direct_url.json, PEP 610); the commands here say that.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from centime.errors import UserError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's builds without CUDA, a tenth of the size


@dataclass(frozen=True)
class Installation:
    """kind: 'editable', 'folder', 'wheel', 'repository', 'index' or 'source'; target: what pip is to be given."""

    kind: str
    target: str

    def __str__(self) -> str:
        where = {
            "editable": "an editable install of",
            "folder": "installed from the folder",
            "wheel": "installed from",
            "repository": "installed from",
            "index": "installed from a package index as",
            "source": "run from the source tree",
        }
        return f"{where[self.kind]} {self.target}"

    def command(self, extra: str) -> str:
        """The command that adds an extra ('serve', 'gguf', 'replicas', 'gpu'), or with '' what centime itself needs."""
        with_extra = f"[{extra}]" if extra else ""
        if self.kind == "repository":
            return f"{_pip()} install {shlex.quote(f'centime{with_extra} @ {self.target}')}"
        editable = "-e " if self.kind in ("editable", "source") else ""
        return f"{_pip()} install {editable}{shlex.quote(f'{self.target}{with_extra}')}"


def installation() -> Installation:
    """Where the copy of centime that runs came from."""
    from importlib.metadata import PackageNotFoundError, distribution

    root = Path(__file__).resolve().parents[2]
    try:
        origin = distribution("centime").read_text("direct_url.json")
    except PackageNotFoundError:
        return Installation("source", str(root))
    if origin is None:
        return Installation("index", "centime")
    try:
        found = _read(json.loads(origin))
    except (ValueError, KeyError, TypeError, AttributeError):  # not as PEP 610 says: the name is all that is known
        return Installation("index", "centime")
    if found.kind == "editable" and Path(found.target).resolve() != root:  # another copy stands before it on the path
        return Installation("source", str(root))
    return found


def needs(extra: str, what: str, library: str) -> UserError:
    """The error of a verb or option that needs a library of an extra: what it needs, and how to add it."""
    return UserError(f"{what} needs {library}; add it with: {installation().command(extra)}")


def missing(library: str) -> str:
    """The command that adds a library that centime always needs, such as torch."""
    if library != "torch":
        return installation().command("")
    index = "" if _has_nvidia_driver() else f" --extra-index-url {CPU_INDEX}"
    return f"{_pip()} install {shlex.quote(requirement('torch'))}{index}"


def requirement(library: str) -> str:
    """'torch<2.16,>=2.11': a library with the versions that centime accepts; its bare name where nothing says."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        asked = requires("centime") or []
    except PackageNotFoundError:
        asked = []
    return next((line for line in asked if re.match(rf"{re.escape(library)}\b(?!.*;)", line)), library)


def _read(origin: dict[str, Any]) -> Installation:
    url = urlsplit(origin["url"])
    if "vcs_info" in origin:
        return Installation("repository", f"{origin['vcs_info']['vcs']}+{origin['url']}")
    if url.scheme != "file":
        return Installation("repository", origin["url"])
    path = unquote(url.path)
    if "dir_info" not in origin:
        return Installation("wheel", path)
    return Installation("editable" if origin["dir_info"].get("editable") else "folder", path)


def _pip() -> str:
    """pip of the Python that runs, or uv's where that Python has none."""
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip --python {python}"
    return f"{python} -m pip"


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
