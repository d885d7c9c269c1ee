"""A copy of the ledger while servers write to it, and the way back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from centime.errors import UserError
from centime.files.durable import whole_file
from centime.ledger.book import connect
from centime.ledger.schema import SCHEMA_VERSION
from centime.ledger.shared import shared_ledger
from centime.serve.accounts.limits import dead


def back_up(ledger: Path, to: Path) -> int:
    """Copies the ledger as it is at one instant, whole or not at all; returns the bytes. Servers write on meanwhile.

    Raises UserError where there is no ledger, or the copy cannot be written or is damaged.
    """
    _check_own()
    if not ledger.exists():
        raise UserError(f"there is no ledger {ledger} to back up.")
    if to.exists() and os.path.samefile(ledger, to):
        raise UserError(f"{to} is the ledger itself; give another name for its copy.")
    if to.exists() and not _is_ledger(to):
        raise UserError(f"{to} is there and is no copy of a ledger; give another name, or move it away.")
    try:
        with whole_file(to) as temporary:
            temporary.touch(0o600)
            temporary.chmod(0o600)
            with closing(connect(ledger)) as source, closing(sqlite3.connect(temporary)) as target:
                source.backup(target)  # in one step: a reader of one moment, in nobody's way
                target.execute("PRAGMA journal_mode = DELETE")  # one file, none beside it
                _check(target, to)
            return temporary.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"the ledger cannot be copied to {to} ({error}).") from None


def restore(copy: Path, ledger: Path) -> Path | None:
    """Puts a copy in the ledger's place, whole or not at all; returns where the ledger that was there now stands.

    Raises UserError where the copy is none, or a server still runs on the ledger.
    """
    _check_own()
    if copy.exists() and not copy.is_file():  # a pipe would be waited for without end
        raise UserError(f"{copy} is no file; expected what `centime keys backup` wrote.")
    try:
        with closing(sqlite3.connect(f"file:{copy.absolute().as_posix()}?mode=ro", uri=True)) as source:
            version = source.execute("PRAGMA user_version").fetchone()[0]
            if not 0 < version <= SCHEMA_VERSION:
                raise UserError(f"{copy} is no ledger, or one of a later centime.")
            _check(source, copy)
            before = _put_aside(ledger)
            ledger.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(ledger) as temporary:
                temporary.touch(0o600)
                with closing(sqlite3.connect(temporary)) as target:
                    source.backup(target)
                    target.execute("PRAGMA journal_mode = WAL")  # as servers open it
                temporary.chmod(0o600)
            return before
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{copy} cannot be restored ({error}); expected what `centime keys backup` wrote.") from None


def _put_aside(ledger: Path) -> Path | None:
    if not ledger.exists():
        return None
    with closing(connect(ledger)) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'holders'").fetchone()
        holders = {row[0] for row in connection.execute("SELECT id FROM holders")} if known else set()
        if holders and holders - dead(connection):
            raise UserError(f"a server runs on {ledger}; end it first, or what it is yet to charge would be lost.")
    before = _unused(ledger.with_name(ledger.name + ".before-restore"))
    back_up(ledger, before)
    for beside in ("-wal", "-shm"):
        Path(f"{ledger}{beside}").unlink(missing_ok=True)
    return before


def _unused(path: Path) -> Path:
    """The path, or with a number after it where it is taken: what was put aside before stays."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _is_ledger(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path.absolute().as_posix()}?mode=ro", uri=True)) as found:
            return 0 < int(found.execute("PRAGMA user_version").fetchone()[0]) <= SCHEMA_VERSION
    except sqlite3.Error:
        return False


def _check(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise UserError(f"{path} is damaged: {found}.")


def _check_own() -> None:
    if shared_ledger() is not None:
        raise UserError(
            "the ledger is a PostgreSQL's (CENTIME_LEDGER): copy it with pg_dump, and back with pg_restore."
        )
