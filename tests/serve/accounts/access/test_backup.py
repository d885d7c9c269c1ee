"""A copy of a ledger that is written to, and the way back."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.serve.accounts.made import Use, keyed

from centime.errors import UserError
from centime.ledger.served import served_rows
from centime.serve.accounts.access.backup import back_up, restore
from centime.serve.accounts.keys import list_keys
from centime.serve.accounts.store import Store


def test_a_copy_under_writes_is_of_one_instant_and_comes_back(tmp_path: Path) -> None:
    """In every copy the balance and the bill agree, though charges go in all the time."""
    ledger = tmp_path / "ledger.sqlite"
    accounts, account = keyed(ledger, budget="$1000")
    stop = threading.Event()

    def charge() -> None:
        while not stop.wait(0.002):
            accounts.admit(account, prompt_tokens=100, max_tokens=10).settle(Use())

    writers = [threading.Thread(target=charge) for _ in range(2)]
    for writer in writers:
        writer.start()
    copies = [tmp_path / f"copy{number}.sqlite" for number in range(3)]
    try:
        for copy in copies:
            assert back_up(ledger, copy) == copy.stat().st_size
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    charged = [sum(row.list_pico for row in served_rows(sqlite3.connect(copy))) for copy in copies]
    left = [sqlite3.connect(copy).execute("SELECT balance FROM keys").fetchone()[0] for copy in copies]
    assert [1000 * 10**12 - pico for pico in charged] == left
    assert charged == sorted(charged)
    assert charged[-1] > 0
    assert copies[0].stat().st_mode & 0o77 == 0
    with pytest.raises(UserError, match="a server runs on"):
        restore(copies[0], ledger)
    accounts.close()
    before = restore(copies[1], ledger)
    assert before is not None
    assert [key.balance for key in list_keys(Store(ledger))] == [left[1]]
    assert sqlite3.connect(ledger).execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert list_keys(Store(before))[0].balance < left[0]


def test_what_is_no_copy_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    ledger, copy = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite"
    with pytest.raises(UserError, match="there is no ledger"):
        back_up(ledger, copy)
    accounts, _ = keyed(ledger, budget="$1")
    accounts.close()
    whole = ledger.read_bytes()
    with pytest.raises(UserError, match="is the ledger itself"):
        back_up(ledger, ledger)
    with pytest.raises(UserError, match="cannot be copied"):
        back_up(ledger, tmp_path / "no" / "folder")
    back_up(ledger, copy)
    for content in (b"", b"text", copy.read_bytes()[: copy.stat().st_size // 2]):
        copy.write_bytes(content)
        with pytest.raises(UserError):
            restore(copy, ledger)
        assert list_keys(Store(ledger))[0].name == "alice"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is no file"):
        restore(tmp_path / "pipe", ledger)
    with pytest.raises(UserError, match="cannot be restored"):
        restore(tmp_path / "none", ledger)
    assert whole[:16] == ledger.read_bytes()[:16]
    assert sorted(path.name for path in tmp_path.iterdir() if "unfinished" in path.name) == []


def test_nothing_that_somebody_else_wrote_is_replaced(tmp_path: Path) -> None:
    """Nor what was put aside by an earlier restore: it may be all that is left of a ledger."""
    ledger, copy, text = (tmp_path / name for name in ("ledger.sqlite", "copy.sqlite", "novel.txt"))
    accounts, _ = keyed(ledger, budget="$1")
    accounts.close()
    text.write_text("Call me Ishmael.")
    with pytest.raises(UserError, match="is there and is no copy of a ledger"):
        back_up(ledger, text)
    assert text.read_text() == "Call me Ishmael."
    assert back_up(ledger, copy) == back_up(ledger, copy)
    put_aside = [restore(copy, ledger) for _ in range(3)]
    assert len({*put_aside}) == 3
    assert all(path is not None and path.exists() for path in put_aside)
