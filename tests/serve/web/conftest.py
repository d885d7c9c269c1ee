"""The page against real servers on localhost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.serve.web.browser import serving

if TYPE_CHECKING:
    from centime.serve.api.service import Service


@pytest.fixture(scope="session")
def bare() -> Iterator[str]:
    """The page alone, from a server that has no engine and keeps no ledger."""
    from fastapi import FastAPI

    from centime.serve.accounts import Account
    from centime.serve.http.errors import install_handlers
    from centime.serve.pages.page import page_routes

    app = FastAPI()
    install_handlers(app)
    app.include_router(page_routes(lambda: Account("", None, None, None, None)))
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the served model, its tokenizer and the ledger are."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[tuple[str, Service]]:
    """A real server over a tiny model of random weights: (its address, what it shares)."""
    from tests.serve.api.running import running

    with running(home) as (url, shared):
        yield f"{url}/", shared
