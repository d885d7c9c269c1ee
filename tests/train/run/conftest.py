"""A run that was never interrupted, made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.made import train

from centime.ledger import Book
from centime.ledger.billing import bill_of


@pytest.fixture(scope="session")
def finished(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_HOME", str(home))
        assert train(small, folder) == 0
        with Book() as book:
            (folder / "bill.json").write_text(json.dumps(bill_of(book, str(folder)).as_json()))
    return folder
