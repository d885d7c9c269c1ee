"""One thing that was looked at: what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

OK, ABSENT, WARN, BROKEN = "ok", "absent", "warn", "broken"


@dataclass(frozen=True)
class Finding:
    """state: 'ok'; 'absent', an optional thing that is not here; 'warn', it works and could be better; 'broken'."""

    check: str
    state: str
    found: str
    todo: str = ""  # a command or a sentence; empty where there is nothing to do
    values: dict[str, Any] = field(default_factory=dict)  # the same for a program, in base units

    def as_json(self) -> dict[str, Any]:
        """{check, state, found, todo, values}."""
        return asdict(self)
