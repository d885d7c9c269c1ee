"""Where a user's own files live: the ledger, the price overlay."""

from __future__ import annotations

import os
from pathlib import Path


def centime_home() -> Path:
    """$CENTIME_HOME, or ~/.local/share/centime (under $XDG_DATA_HOME where that is set). Not created here."""
    given = os.environ.get("CENTIME_HOME")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path("~/.local/share").expanduser()) / "centime"
