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

# The shell is the same engine without windows, profiles and spare processes: a third of the work for a tab.
EXECUTABLES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

# Whatever lies outside its card, or is wider than its own box; (tag, text, how far) of each.
OUTSIDE = """() => {
  const found = [];
  const check = (node, by) => {
    if (by > 0.5) found.push([node.tagName, node.textContent.trim().slice(0, 40), Math.round(by)]);
  };
  for (const card of document.querySelectorAll(".card, figure, .facts > div, .scroll")) {
    const frame = card.getBoundingClientRect();
    for (const node of card.querySelectorAll("*")) {
      const head = node.closest("thead");
      const stacked = head && getComputedStyle(head).clipPath !== "none"; // for a screen reader alone
      if (!node.checkVisibility() || node.closest(".unseen") || stacked) continue;
      const box = node.getBoundingClientRect();
      if (box.width) check(node, Math.max(box.right - frame.right, frame.left - box.left));
      if (node.clientWidth && !node.closest("svg")) check(node, node.scrollWidth - node.clientWidth - 1);
    }
  }
  check(document.body, document.documentElement.scrollWidth - innerWidth);
  return found;
}"""

# Names and ticks of a chart that lie over each other.
OVERLAPS = """() => [...document.querySelectorAll("svg.chart")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
    .filter(([, q]) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 4 && q.top < p.bottom - 4)
    .map(([b]) => [a, b]));
})"""


# One for each file, no longer: while playwright runs, no other test of this process can run an event loop of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless browser, one for all tests; a machine without Chromium skips them and says so."""
    path = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if path is None:
        names = ", ".join(EXECUTABLES)
        pytest.skip(f"no Chromium: none of {names} is on the path (Debian: apt-get install {EXECUTABLES[0]})")
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
