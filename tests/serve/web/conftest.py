"""The page in headless Chromium: the system's own browser, driven by playwright, against real servers on localhost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.serve.web.browser import NewPage, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from centime.serve.api.serving import Serving

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless browser, one for all tests; a machine without Chromium skips them and says so."""
    path = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(EXECUTABLES)} is on the path (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the dev extra has it)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Opens tabs, each with storage of its own: new_page(url, width=360, ...). An uncaught error of the page fails the
    test, and so does whatever its content policy refused."""
    failures: list[str] = []
    contexts = []

    def open_one(url: str, *, width: int = 1280, height: int = 860, locale: str = "en-US", **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda said: failures.append(said.text) if "Security Policy" in said.text else None)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert failures == []


@pytest.fixture(scope="session")
def bare() -> Iterator[str]:
    """The page alone, from a server that has no engine and keeps no ledger."""
    from fastapi import FastAPI

    from centime.serve.accounts import Account
    from centime.serve.api.errors import install
    from centime.serve.api.page import page_routes

    app = FastAPI()
    install(app)
    app.include_router(page_routes(lambda: Account("", None, None, None, None)))
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the served model, its tokenizer and the ledger are."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[tuple[str, Serving]]:
    """A real server over a tiny model of random weights: (its address, what it shares)."""
    from tests.serve.api.running import running

    with running(home) as (url, shared):
        yield f"{url}/", shared
