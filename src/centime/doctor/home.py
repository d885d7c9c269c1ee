"""CENTIME_HOME: whether it can be written, and whether what is in it can be read. Nothing is created by looking."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from centime.catalogue.home import centime_home
from centime.catalogue.machine import profile_path, read_profile
from centime.catalogue.prices import overlay_path, read_overlay
from centime.doctor.finding import ABSENT, BROKEN, OK, Finding
from centime.errors import UserError
from centime.units import format_bytes, plural


def home() -> list[Finding]:
    """The folder, the ledger, the prices and the machine's profile in it."""
    return [_folder(centime_home()), _ledger(centime_home() / "ledger.sqlite"), _prices(), _profile()]


def _folder(path: Path) -> Finding:
    values = {"path": str(path)}
    above = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not above.is_dir():
        return Finding("CENTIME_HOME", BROKEN, f"{above} is not a folder", "set CENTIME_HOME to another folder", values)
    if not os.access(above, os.W_OK | os.X_OK):
        return Finding(
            "CENTIME_HOME", BROKEN, f"{above} cannot be written", "set CENTIME_HOME to another folder", values
        )
    if not path.exists():
        return Finding("CENTIME_HOME", ABSENT, f"{path}: not there yet; the first verb that books makes it", "", values)
    return Finding("CENTIME_HOME", OK, str(path), "", values)


def _ledger(path: Path) -> Finding:
    if not path.exists():
        return Finding("ledger", ABSENT, "nothing has been booked yet", "", {"path": str(path)})
    values = {"path": str(path), "bytes": path.stat().st_size}
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            rows = connection.execute("SELECT count(*) FROM intervals").fetchone()[0]
    except sqlite3.Error as error:
        said, rows = str(error), 0
    if said != "ok":
        return Finding("ledger", BROKEN, f"{path} is damaged ({said})", "move it away; a new one is begun", values)
    found = f"{path}: {plural(rows, 'interval')}, {format_bytes(path.stat().st_size)}"
    return Finding("ledger", OK, found, "", values | {"intervals": rows})


def _prices() -> Finding:
    path = overlay_path()
    if not path.exists():
        return Finding("your prices", ABSENT, f"no {path}: the catalogue's are used", "", {"path": str(path)})
    try:
        rows = read_overlay(path)
    except UserError as error:
        return Finding("your prices", BROKEN, str(error), f"mend {path}", {"path": str(path)})
    return Finding("your prices", OK, f"{path}: {len(rows)} prices", "", {"path": str(path), "prices": len(rows)})


def _profile() -> Finding:
    path = profile_path()
    try:
        profile = read_profile()
    except UserError as error:
        return Finding("profile", BROKEN, str(error), "centime calibrate", {"path": str(path)})
    if profile is None:
        return Finding("profile", ABSENT, "this machine is not measured yet", "centime calibrate", {"path": str(path)})
    return Finding("profile", OK, str(path), "", {"path": str(path)})
