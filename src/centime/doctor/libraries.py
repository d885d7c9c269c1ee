"""The libraries that centime needs or can use: each imported in a process of its own kind, so that one that crashes
takes nothing else with it, and is named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from centime.doctor.finding import ABSENT, BROKEN, OK, Finding
from centime.installation import installation, missing

IMPORT_SECONDS = 120.0  # torch from a cold network disk; a library that takes longer counts as one that does not load
# A requirement's name where it is imported by another.
IMPORTED_AS = {"nvidia-ml-py": "pynvml", "prometheus-client": "prometheus_client", "huggingface_hub": "huggingface_hub"}
# An extra -> what it is for.
EXTRAS = {
    "serve": "`centime serve`",
    "gguf": "`centime export`",
    "replicas": "`centime serve --replicas`",
    "gpu": "fast paths and energy of NVIDIA GPUs",
}

# Imports what it is told, a line of JSON before each and after each; asked for in one process, for torch takes seconds.
_PROGRAM = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, "begun"]), flush=True)
    try:
        importlib.import_module(name)
        said = ""
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps([name, said]), flush=True)
"""


def libraries() -> list[Finding]:
    """A finding for each library that centime always needs, then one for each extra."""
    needed, extras = _asked()
    every = list(dict.fromkeys([*needed, *(name for names in extras.values() for name in names)]))
    said = imported([IMPORTED_AS.get(name, name) for name in every if _version(name)])
    found = [_needed(name, said) for name in needed]
    return found + [_extra(extra, names, said) for extra, names in extras.items() if extra in EXTRAS]


def imported(modules: list[str]) -> dict[str, str]:
    """Module -> what importing it said ('' for all is well), in a process of its own; one that ends it is named."""
    said: dict[str, str] = {}
    left = list(modules)
    while left:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, *left],
                capture_output=True,
                text=True,
                timeout=IMPORT_SECONDS,
                check=False,
            )
            lines, how = done.stdout, f"the process ended with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            lines, how = _decoded(error.stdout), f"it took more than {IMPORT_SECONDS:.0f} s"
        begun = None
        for line in lines.splitlines():
            try:
                name, what = json.loads(line)
            except ValueError:  # what a library prints by itself
                continue
            if what == "begun":
                begun = name
            else:
                said[name], begun = what, None
        if begun is None:
            break
        said[begun] = how
        left = left[left.index(begun) + 1 :]
    return {module: said.get(module, "it was not reached") for module in modules}


def _needed(name: str, said: dict[str, str]) -> Finding:
    here = _version(name)
    if here is None:
        return Finding(name, BROKEN, "not installed", missing(name), {"version": None})
    what = said[IMPORTED_AS.get(name, name)]
    values = {"version": here, "error": what or None}
    if what:
        return Finding(name, BROKEN, f"{here}, which does not load ({_short(what)})", missing(name), values)
    return Finding(name, OK, here, "", values)


def _extra(extra: str, names: list[str], said: dict[str, str]) -> Finding:
    """An extra is there when all of its libraries are; a library that is there and does not load is said by name."""
    absent = [name for name in names if _version(name) is None]
    failed = {name: said[IMPORTED_AS.get(name, name)] for name in names if name not in absent}
    failed = {name: what for name, what in failed.items() if what}
    values: dict[str, Any] = {"for": EXTRAS[extra], "absent": absent, "errors": failed}
    command = installation().command(extra)
    if failed:
        one, what = next(iter(failed.items()))
        return Finding(f"[{extra}]", BROKEN, f"{one} is here and does not load ({_short(what)})", command, values)
    if absent:
        return Finding(f"[{extra}]", ABSENT, f"for {EXTRAS[extra]}: {', '.join(absent)} not installed", command, values)
    return Finding(f"[{extra}]", OK, f"for {EXTRAS[extra]}: all of it is here", "", values)


def _asked() -> tuple[list[str], dict[str, list[str]]]:
    """(what centime needs, extra -> what it needs), as its own metadata say; empty in a source tree without any."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        lines = requires("centime") or []
    except PackageNotFoundError:
        return ["torch", "numpy", "safetensors", "tokenizers", "pydantic", "rich", "pyarrow"], {}
    for line in lines:
        match = re.match(r"([A-Za-z0-9_.-]+)", line)
        if match is None or "centime" in match[1]:
            continue
        extra = re.search(r"extra == ['\"]([a-z-]+)['\"]", line)
        if "platform_system == 'Linux'" in line.replace('"', "'") and sys.platform != "linux":
            continue
        (extras.setdefault(extra[1], []) if extra else needed).append(match[1])
    return needed, extras


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _short(text: str) -> str:
    return " ".join(text.split())[:200]


def _decoded(output: str | bytes | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""
