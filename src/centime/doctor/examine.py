"""Everything `centime doctor` looks at, in order; a look that fails is a finding itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from centime.doctor.finding import BROKEN, Finding


def examine() -> list[Finding]:
    """All findings. Raises nothing: what cannot be looked at is broken, and why is said."""
    found: list[Finding] = []
    for name, look in (
        ("centime", _look("machine", "centime")),
        ("system", _look("machine", "system")),
        ("python", _look("machine", "python")),
        ("libraries", _look("libraries", "libraries")),
        ("devices", _look("machine", "devices")),
        ("kernels", _look("kernels", "kernels")),
        ("price", _look("machine", "price")),
        ("disk", _look("machine", "disks")),
        ("CENTIME_HOME", _look("home", "home")),
    ):
        try:
            said = look()
        except Exception as error:  # the purpose of it all is to say what does not work
            said = Finding(name, BROKEN, f"cannot be looked at ({type(error).__name__}: {error})")
        found += said if isinstance(said, list) else [said]
    return found


def as_json(found: list[Finding]) -> dict[str, Any]:
    """{ok, checks[{check, state, found, todo, values}]}: ok is whether nothing is broken."""
    return {
        "ok": all(finding.state != BROKEN for finding in found),
        "checks": [finding.as_json() for finding in found],
    }


def _look(module: str, name: str) -> Callable[[], Finding | list[Finding]]:
    """A look of centime.doctor.<module>, which is imported when the look is taken."""

    def look() -> Finding | list[Finding]:
        said: Finding | list[Finding] = getattr(importlib.import_module(f"centime.doctor.{module}"), name)()
        return said

    return look
