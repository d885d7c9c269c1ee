"""How this copy of centime was installed, and the command that adds to it what is missing.

`pip install 'centime[serve]'` is right for a copy that came from a package index and for no other: pip would look for a
name that the index does not have, or that is somebody else's. pip writes down where a copy came from
(direct_url.json, PEP 610); the commands here say that.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from centime.errors import UserError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's builds without CUDA, a tenth of the size
# extra -> the commands that it is for, as a person types them; all others need centime alone.
EXTRAS: dict[str, tuple[str, ...]] = {
    "data": ("data", "tokenizer"),
    "torch": ("generate", "chat", "evaluate", "calibrate", "quantise", "export --hf"),
    "train": ("train", "quickstart"),
    "gateway": ("serve --upstream",),
    "serve": ("serve",),
    "replicas": ("serve --replicas",),
    "gguf": ("export",),
    "harness": ("evaluate --tasks",),
    "rl": (),  # for `train`, where a recipe's rewards or problems are those of a library
    "otel": (),  # for `serve --otel`, of an engine or of a gateway
    "postgres": (),  # for any verb that keeps a ledger, where CENTIME_LEDGER names a database
}
WITHOUT_TORCH = {"", "data", "gateway", "gpu", "otel", "postgres"}


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
        """The command that adds an extra ('serve', 'gguf', 'gpu', ...), or with '' what centime itself needs."""
        with_extra = f"[{extra}]" if extra else ""
        if self.kind == "repository":
            what = shlex.quote(f"centime{with_extra} @ {self.target}")
        else:
            editable = "-e " if self.kind in ("editable", "source") else ""
            what = f"{editable}{shlex.quote(f'{self.target}{with_extra}')}"
        small_torch = extra not in WITHOUT_TORCH and not has_torch() and not _has_nvidia_driver()
        return f"{_pip()} install {what}{f' --extra-index-url {CPU_INDEX}' if small_torch else ''}"


def installation() -> Installation:
    """Where the copy of centime that runs came from."""
    from importlib.metadata import PackageNotFoundError, distribution

    root = Path(__file__).resolve().parents[2]
    source = Installation("source", str(root))
    try:
        known = distribution("centime")
    except PackageNotFoundError:
        return source
    if Path(str(known.locate_file(""))).resolve() == root / "src":  # what a build left beside the code
        return source
    origin = known.read_text("direct_url.json")
    if origin is None:
        return Installation("index", "centime")
    try:
        found = _read(json.loads(origin))
    except (ValueError, KeyError, TypeError, AttributeError):  # not as PEP 610 says: the name is all that is known
        return Installation("index", "centime")
    if found.kind == "editable" and Path(found.target).resolve() != root:  # another copy stands before it on the path
        return source
    return found


def needs(extra: str, what: str, library: str) -> UserError:
    """The error of a verb or option that needs a library of an extra: what it needs, and how to add it."""
    return UserError(f"{what} needs {library}; add it with: {installation().command(extra)}")


def missing(arguments: Sequence[str]) -> str:
    """The command that adds what `centime ARGUMENTS` needs, whatever of it is missing."""
    asked = {argument.partition("=")[0] for argument in arguments}
    fitting = {
        use: extra
        for extra, uses in EXTRAS.items()
        for use in uses
        if use.split()[:1] == list(arguments[:1]) and asked.issuperset(use.split())
    }
    return installation().command(fitting[max(fitting, key=len)] if fitting else "")


def has_torch() -> bool:
    """Whether torch is installed, whether it loads or not."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return bool(version("torch"))
    except PackageNotFoundError:
        return False


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
