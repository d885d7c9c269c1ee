"""The libraries that centime needs or can use: each imported in a process of its own kind, so that one that crashes
takes nothing else with it, and is named. One that only an extra needs is looked at where it is here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from centime.doctor.finding import ABSENT, BROKEN, OK, Finding
from centime.installation import EXTRAS, installation

IMPORT_SECONDS = 120.0  # torch from a cold network disk; a library that takes longer counts as one that does not load
# A requirement's name where it is imported by another.
IMPORTED_AS = {
    "nvidia-ml-py": "pynvml",
    "prometheus-client": "prometheus_client",
    "huggingface_hub": "huggingface_hub",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
}
# An extra -> what it is for: the verbs that need it, or what of several verbs does.
FOR = {extra: ", ".join(f"`centime {use}`" for use in uses) for extra, uses in EXTRAS.items()} | {
    "rl": "rewards and problems of other libraries in `centime train`",
    "postgres": "a ledger that several gateways share",
    "otel": "spans and metrics of `centime serve` for OpenTelemetry",
    "gpu": "the energy of NVIDIA GPUs",
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
    """A finding for each library that is needed or here, then one for each extra."""
    by_extra = _by_extra()
    whose = {name: extra for extra in reversed(by_extra) for name in by_extra[extra]}  # the first that asks for it
    names = list(dict.fromkeys(name for extra in by_extra for name in by_extra[extra]))
    here = {name: number for name in names if (number := _version(name))}
    said = imported([IMPORTED_AS.get(name, name) for name in here])
    errors = {name: what for name in here if (what := said[IMPORTED_AS.get(name, name)])}
    found = [
        _library(name, here.get(name), errors.get(name), installation().command(whose[name]))
        for name in names
        if name in here or not whose[name]
    ]
    return found + [_extra(extra, by_extra[extra], here, errors) for extra in FOR if extra in by_extra]


def imported(modules: list[str]) -> dict[str, str]:
    """Module -> what importing it said ('' for all is well), in a process of its own; one that ends it is named."""
    said: dict[str, str] = {}
    left = list(modules)
    while left:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, *left],
                capture_output=True,
                timeout=IMPORT_SECONDS,
                check=False,
            )
            lines, how = done.stdout, f"the process ended with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            lines, how = error.stdout or b"", f"it took more than {IMPORT_SECONDS:.0f} s"
        begun = None
        for line in lines.splitlines():
            try:
                name, what = json.loads(line)
            except (ValueError, TypeError):  # what a library prints by itself
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


def _library(name: str, number: str | None, error: str | None, command: str) -> Finding:
    values = {"version": number, "error": error}
    if number is None:
        return Finding(name, BROKEN, "not installed", command, values)
    if error:
        return Finding(name, BROKEN, f"{number}, which does not load ({_short(error)})", command, values)
    return Finding(name, OK, number, "", values)


def _extra(extra: str, names: list[str], here: dict[str, str], errors: dict[str, str]) -> Finding:
    """An extra is there when all of its libraries are; of those that do not load, their own findings say more."""
    absent = [name for name in names if name not in here]
    failed = {name: errors[name] for name in names if name in errors}
    values: dict[str, Any] = {"for": FOR[extra], "absent": absent, "errors": failed}
    if absent:
        found = f"for {FOR[extra]}: {', '.join(absent)} not installed"
        return Finding(f"[{extra}]", ABSENT, found, installation().command(extra), values)
    if failed:
        return Finding(f"[{extra}]", BROKEN, f"for {FOR[extra]}: see {', '.join(failed)} above", "", values)
    return Finding(f"[{extra}]", OK, f"for {FOR[extra]}: all of it is here", "", values)


def _by_extra() -> dict[str, list[str]]:
    """Extra, '' for centime itself -> the libraries that it needs, as centime's own metadata say."""
    try:
        lines = requires("centime") or []
    except PackageNotFoundError:  # a source tree without any
        return {"": ["numpy", "pydantic", "typer", "rich", "psutil", "babel"]}
    found = [(re.search(r"extra == ['\"]([a-z]+)['\"]", line), line) for line in lines]

    def names(extra: str) -> Iterator[str]:
        for mark, line in found:
            match = re.match(r"([A-Za-z0-9_.-]+)(?:\[([a-z,]+)\])?", line)
            if match is None or (mark[1] if mark else "") != extra:
                continue
            if match[1] == "centime":  # centime[gateway,torch]
                for other in match[2].split(","):
                    yield from names(other)
            else:
                yield match[1]

    return {extra: list(dict.fromkeys(names(extra))) for extra in ("", *FOR)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
