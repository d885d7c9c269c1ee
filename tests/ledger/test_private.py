"""Who may read the ledger: its owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from centime.ledger import Book
from centime.serve.accounts.store import Store


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("opened", [Book, Store])
def test_a_new_ledger_and_all_beside_it_are_its_owners(tmp_path: Path, opened: type[Book | Store]) -> None:
    path = tmp_path / "home" / "ledger.sqlite"
    book = opened(path)
    assert {"ledger.sqlite-wal", "ledger.sqlite-shm"} <= set(modes(path.parent))
    assert modes(path.parent) == {name: 0o700 if name == "home" else 0o600 for name in modes(path.parent)}
    book.close()


def test_an_older_ledger_is_narrowed_and_a_folder_that_was_there_is_left(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    tmp_path.chmod(0o755)
    older = Book(path)
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.chmod(0o644)
    Book(path).close()
    assert modes(tmp_path) == {
        tmp_path.name: 0o755, "ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600,
    }  # fmt: skip
    older.close()
