"""A book of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.ledger import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite")
