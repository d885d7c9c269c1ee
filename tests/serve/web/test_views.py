"""The engine, the bill and the planner in the browser, over a real server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.browser import NewPage

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.slow

Served = "tuple[str, Serving]"


def complete(url: str, tokens: int) -> dict[str, object]:
    """One answer over the API."""
    body = {"model": "small", "messages": [{"role": "user", "content": "the cat"}], "max_tokens": tokens, "seed": 1}
    answer: dict[str, object] = httpx.post(f"{url}v1/chat/completions", json=body, timeout=120).json()
    return answer


def test_the_engine_is_shown_at_work(new_page: NewPage, served: Served) -> None:
    url = served[0]
    page = new_page(f"{url}#engine")
    page.wait_for_selector(".gauges")
    assert "small, up to 2,048 tokens, on two cores" in page.locator("#engine .lead").inner_text()
    assert "$2.00 an hour, as given" in page.locator(".headline").inner_text()
    at_work = [threading.Thread(target=complete, args=(url, 600)) for _ in range(3)]
    for thread in at_work:
        thread.start()
    page.wait_for_function("() => Number(document.querySelectorAll('.gauge .figure')[1].innerText) > 0")
    page.wait_for_function("() => document.querySelector('.headline .figure').innerText.startsWith('$')")
    assert (page.get_attribute(".gauge svg", "aria-label") or "").startswith("Output over the last 5\u202fmin: ")
    for thread in at_work:
        thread.join()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}#bill")
    page.wait_for_selector("#bill .facts")
    asked.clear()
    page.wait_for_timeout(1500)
    assert asked == []  # the engine is not asked while nobody looks at it


def test_a_server_that_goes_away_is_said(new_page: NewPage, bare: str) -> None:
    page = new_page(f"{bare}#engine")
    page.wait_for_selector("#engine .note")
    assert page.locator("#engine").inner_text() == "This server does not offer this view."
    page.route("**/page/engine**", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#engine .note")
    assert page.locator("#engine").inner_text() == "The server does not answer. Is it running?"


def test_the_bill_has_what_was_served(new_page: NewPage, served: Served) -> None:
    url = served[0]
    complete(url, 16)
    page = new_page(f"{url}#bill")
    page.wait_for_selector("#bill .facts")
    text = page.locator("#bill").inner_text()
    assert "Serving and its margin" in text
    assert "without a key" in text
    assert page.locator("#bill .by-key tbody tr").count() == 1
    page.wait_for_selector("#spending .facts")
    assert "Spent this month" in page.locator("#spending").inner_text()
    page.click("#language")
    page.wait_for_function("() => document.querySelector('#spending').innerText.includes('Dépensé ce mois-ci')")


def test_a_plan_is_drawn_in_the_language(new_page: NewPage, served: Served) -> None:
    page = new_page(f"{served[0]}#plan")
    page.wait_for_selector("#plan-form .fields")
    page.fill("#plan-field-gpus", "64")
    page.press("#plan-field-gpus", "Enter")
    page.wait_for_selector("#plan-result .facts")
    assert page.locator("#plan-result .plan-title").inner_text() == "Serving DeepSeek-V3 on H800 SXM 80GB"
    assert page.locator("#plan-result .plot polyline").count() == 1
    assert page.locator("#plan-result .bar").count() == 2
    assert page.evaluate("document.activeElement.id") == "plan-result"
    assert "centime plan serve --model DeepSeek-V3" in page.locator("#plan-result .code pre").inner_text()
    page.click("#language")
    assert page.locator("#plan-result .plan-title").inner_text() == "Servir DeepSeek-V3 sur H800 SXM 80GB"
    assert page.input_value("#plan-field-gpus") == "64"
    page.check("#plan-train", force=True)
    assert page.input_value("#plan-field-gpus") == "2048"
    page.fill("#plan-field-model", "deepsek-v3")
    page.click("#plan-run")
    page.wait_for_selector("#plan-result .alert")
    assert "Did you mean 'DeepSeek-V3'?" in page.locator("#plan-result .alert").inner_text()
