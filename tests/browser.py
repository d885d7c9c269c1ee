"""Headless Chromium for tests of pages: the system's own browser, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NewPage = Callable[..., "Page"]
"""new_page(url, width=1280, height=860, **options of a browser context): a tab with storage of its own."""

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
