"""The API's description in a browser: our own, under the page's content policy, as wide as a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.browser import NewPage
from tests.serve.api.running import running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("described")) as (found, _):
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_description_is_a_page_of_our_own(url: str, new_page: NewPage, scheme: Any) -> None:
    asked: list[str] = []
    for width in (390, 1000):
        page = new_page("about:blank", width=width, color_scheme=scheme)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/docs")
        assert page.locator("h3 code", has_text="/v1/chat/completions").count()
        assert page.locator("#ChatRequest th", has_text="temperature").is_visible()
        page.locator("a[href='#ChatRequest']").first.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        linked = page.eval_on_selector_all("a[href^='#']", "links => links.map(link => link.getAttribute('href'))")
        assert all(page.locator(f"[id='{link[1:]}']").count() == 1 for link in set(linked))
    assert all(one.startswith(url) for one in asked)
    assert httpx.get(f"{url}/docs").headers["content-security-policy"].startswith("default-src 'none'")
