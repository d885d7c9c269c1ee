"""Where a user's own files live: the ledger, the price overlay."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from centime.errors import UserError

_NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP}  # what no file system will ever make a folder of


def centime_home() -> Path:
    """$CENTIME_HOME, or ~/.local/share/centime (under $XDG_DATA_HOME where that is set). Not created here.

    Raises UserError for a user who has no home folder (a container run under a bare number) and for a path that
    cannot be one.
    """
    variable = next((name for name in ("CENTIME_HOME", "XDG_DATA_HOME") if os.environ.get(name)), "HOME")
    given = os.environ[variable] if variable != "HOME" else "~/.local/share"
    try:
        path = Path(given).expanduser() if variable != "XDG_DATA_HOME" else Path(given)
    except RuntimeError:
        nobody = f"{given.partition('/')[0]} in CENTIME_HOME is nobody's home folder"
        why = nobody if variable != "HOME" else "HOME is not set and this user has no home folder"
        raise UserError(f"{why}; set CENTIME_HOME to a folder for the ledger and your own prices.") from None
    home = path if variable == "CENTIME_HOME" else path / "centime"
    try:
        home.stat()
    except OSError as error:
        if error.errno in _NO_PATH:
            why = (error.strerror or "").lower()
            raise UserError(f"{variable} cannot be used: {why} ({home}); set CENTIME_HOME to another folder.") from None
    return home
