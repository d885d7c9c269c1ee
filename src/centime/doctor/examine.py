"""Everything `centime doctor` looks at, in order; a look that fails is a finding itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from centime.doctor.finding import BROKEN, OK, Finding

__all__ = ["Finding", "as_json", "examine"]


def examine() -> list[Finding]:
    """All findings. Raises nothing: what cannot be looked at is broken, and why is said."""
    found: list[Finding] = []
    for name, look in (
        ("centime", _centime),
        ("system", _machine("system")),
        ("python", _machine("python")),
        ("libraries", _libraries),
        ("devices", _machine("devices")),
        ("price", _machine("price")),
        ("disk", _machine("disks")),
        ("CENTIME_HOME", _home),
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


def _centime() -> Finding:
    from centime.installation import installation
    from centime.version import version

    where = installation()
    return Finding("centime", OK, f"{version()}, {where}", "", {"version": version(), "kind": where.kind})


def _libraries() -> list[Finding]:
    from centime.doctor.libraries import libraries

    return libraries()


def _machine(name: str) -> Callable[[], Finding | list[Finding]]:
    """A look of centime.doctor.machine, imported when it is taken."""

    def look() -> Finding | list[Finding]:
        from centime.doctor import machine

        said: Finding | list[Finding] = getattr(machine, name)()
        return said

    return look


def _home() -> list[Finding]:
    from centime.doctor.home import home

    return home()
