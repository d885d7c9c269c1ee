"""A model that was not tuned to chat: the page gives it texts to go on with, and says what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.browser import NewPage

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a model of a run without sft, with the machine's price and without a price list."""
    from tests.serve.api.running import running

    home = tmp_path_factory.mktemp("run")
    (home / "recipe.toml").write_text('[data]\ntrain = "x"\n')
    with running(home, prices=None) as (url, _):
        yield f"{url}/"


def opened(new_page: NewPage, url: str, most: int = 12) -> Page:
    page = new_page(url)
    page.wait_for_selector("#model option", state="attached")
    page.click("#settings-open")
    page.fill("#set-max_tokens", str(most))
    page.click("#settings-open")
    return page


def done(page: Page, number: int = 1) -> None:
    ended = "n => document.querySelectorAll('.answer .receipt').length === n && !document.querySelector('.busy')"
    page.wait_for_function(ended, arg=number)


@pytest.mark.slow
def test_a_model_that_does_not_chat_goes_on_with_a_text(new_page: NewPage, base: str) -> None:
    """Of its answers none ends by itself: what was drawn to an end does not go on."""
    page = opened(new_page, base)

    def endless(route: Route) -> None:
        route.continue_(post_data={**route.request.post_data_json, "ignore_eos": True})

    page.route("**/v1/completions", endless)
    assert page.is_checked("#mode-text")
    assert "not tuned to chat" in page.locator(".empty").inner_text()
    text = "the cat\n  sat on "
    page.fill("#prompt", text)
    with page.expect_request("**/v1/completions") as sent:
        page.press("#prompt", "Enter")
    body = sent.value.post_data_json
    assert body["prompt"] == text  # as it was written: what it ends in matters
    assert body["max_tokens"] == 12
    assert "messages" not in body
    done(page)
    variant = json.loads(page.evaluate("sessionStorage.getItem('centime.turns')"))[1]["variants"][0]
    assert page.locator(".written").evaluate("(node) => node.textContent") == text + variant["text"]
    assert "mono" in page.locator(".written").evaluate("(node) => getComputedStyle(node).fontFamily").lower()
    assert "Machine cost" in page.locator(".receipt").inner_text()
    with page.expect_request("**/v1/completions") as sent:
        page.click(".go-on")
    assert sent.value.post_data_json["prompt"] == text + variant["text"]
    done(page, 2)


@pytest.mark.slow
def test_the_mode_is_the_persons_once_they_chose(new_page: NewPage, base: str) -> None:
    page = opened(new_page, base)
    page.check("#mode-chat", force=True)
    page.fill("#prompt", "the cat")
    with page.expect_request("**/v1/chat/completions"):
        page.press("#prompt", "Enter")
    done(page)
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.is_checked("#mode-chat")
    page.check("#mode-text", force=True)
    page.fill("#prompt", "a text")
    page.press("#prompt", "Enter")
    done(page, 2)
    page.check("#mode-chat", force=True)
    page.fill("#prompt", "and now")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.press("#prompt", "Enter")
    assert "a text" not in str(sent.value.post_data_json["messages"])  # texts are no part of a conversation
    done(page, 3)


@pytest.mark.slow
def test_without_a_price_list_the_machine_tells_what_a_message_will_cost(new_page: NewPage, base: str) -> None:
    page = opened(new_page, base)
    page.fill("#prompt", "the cat sat on the mat")
    page.press("#prompt", "Enter")
    done(page)
    page.fill("#prompt", "the dog")
    page.wait_for_selector("#forecast:visible")
    told = page.locator("#forecast").inner_text()
    view = httpx.get(f"{base}page/engine").json()
    tokens = int(told.split()[0])
    per_second = view["price"]["per_hour"] / 3600
    wanted = per_second * (tokens * view["seconds_per_token"]["prompt"] + 12 * view["seconds_per_token"]["output"])
    assert "An estimate" in told
    assert float(told.split("with 12 tokens out, about $")[1].split(". ")[0]) == pytest.approx(wanted, rel=0.02)


def seed_of_a_long_answer(base: str, mode: str) -> int:
    """One with which the model, which is random, does not end by itself soon."""
    text = "the cat sat on the mat"
    asked = {"messages": [{"role": "user", "content": text}]} if mode == "chat" else {"prompt": text}
    path = "chat/completions" if mode == "chat" else "completions"
    for seed in range(50):
        body = {"model": "small", **asked, "max_tokens": 300, "seed": seed}
        answer = httpx.post(f"{base}v1/{path}", json=body, timeout=60).json()
        if answer["choices"][0]["finish_reason"] == "length":
            return seed
    raise AssertionError("every answer is short")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["chat", "text"])
def test_a_stopped_answer_says_what_it_took(mode: str, new_page: NewPage, base: str) -> None:
    page = opened(new_page, base, 1500)
    page.evaluate("document.getElementById('settings').hidden = false")
    page.fill("#set-seed", str(seed_of_a_long_answer(base, mode)))
    page.check(f"#mode-{mode}", force=True)
    page.fill("#prompt", "the cat sat on the mat")
    page.press("#prompt", "Enter")
    page.wait_for_function("() => document.querySelector('.answer :is(.prose, .grown)')?.textContent.length > 60")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('.receipt')?.textContent.includes('about')")
    pairs = "all => all.map(one => [one.querySelector('dt').textContent, one.querySelector('dd').textContent])"
    found = dict(page.locator(".receipt > div").evaluate_all(pairs))
    assert int(found["Out"].removeprefix("about ")) >= 5
    assert int(found["In"].removeprefix("about ")) >= 3
    assert found["Machine cost"].startswith("about $0.0")
    assert "estimated" in page.locator(".answer .note").inner_text()


@pytest.mark.slow
def test_a_fresh_page_shows_the_minutes_before(new_page: NewPage, base: str) -> None:
    past = httpx.get(f"{base}page/engine/past").json()
    assert past["readings"]
    httpx.post(f"{base}v1/completions", json={"model": "small", "prompt": "the", "max_tokens": 300}, timeout=60)
    page = new_page(base)
    page.wait_for_timeout(2500)  # a reading of it, and nobody looks
    page.click("a[href='#engine']")
    page.wait_for_selector(".gauges .spark polyline")
    label = page.get_attribute(".gauge svg", "aria-label") or ""
    assert label.startswith("Output over the last 5\u202fmin: 0 to ")
    assert not label.endswith(" 0")
    assert page.locator(".gauge .scale").first.inner_text().split("\n")[0] != "1"  # the scale's upper edge
