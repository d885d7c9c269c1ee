"""What one source gave: the rows for its file, and what was left out of it, for a person to judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SHOWN = 8  # names of what was left out


@dataclass
class Found:
    """rows: by the columns of `centime.catalogue.refreshed.COLUMNS`. unknown: names that centime has no row for, with
    how many entries had them; unused: what was passed over for another reason, and how often; missing: the files of the
    source that it has not."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)


def named(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    every = sorted(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
