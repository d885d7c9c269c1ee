"""A conversation in the browser with a real server: streaming, stopping, going back, what it cost, keys."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser import NewPage

from centime.catalogue.tariffs import tariff_for
from centime.serve.accounts.keys import add_key, revoke
from centime.serve.accounts.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


pytestmark = pytest.mark.slow

Served = "tuple[str, Serving]"


def chat(new_page: NewPage, url: str, **settings: Any) -> Page:
    """A tab with the chat open and these settings filled in, `max_tokens` 8 unless given."""
    page = new_page(url)
    page.wait_for_selector("#model option", state="attached")
    page.click("#settings-open")
    for name, value in ({"max_tokens": 8} | settings).items():
        page.fill(f"#set-{name}", str(value))
    page.click("#settings-open")
    return page


def say(page: Page, text: str) -> None:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def answered(page: Page, number: int = 1) -> None:
    """Waits until so many answers have come to their end."""
    done = "n => document.querySelectorAll('.answer .receipt').length === n && !document.querySelector('.busy')"
    page.wait_for_function(done, arg=number)


def receipt(page: Page) -> dict[str, str]:
    """The last answer's receipt: figures by label."""
    pairs = "all => all.map(one => [one.querySelector('dt').textContent, one.querySelector('dd').textContent])"
    return dict(page.locator(".answer").last.locator(".receipt > div").evaluate_all(pairs))


def shown(page: Page) -> str:
    return page.locator(".answer").last.locator(":scope > .prose").inner_text()


def test_an_answer_streams_and_its_cost_stands_under_it(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0])
    say(page, "the cat sat")
    answered(page)
    usage = json.loads(page.evaluate("sessionStorage.getItem('centime.turns')"))[1]["variants"][0]["usage"]
    assert usage["completion_tokens"] <= 8
    found = receipt(page)
    assert found["In"] == str(usage["prompt_tokens"])
    assert found["Out"] == str(usage["completion_tokens"])
    assert float(found["Machine cost"].strip("$")) == pytest.approx(float(usage["cost"]["machine_cost"]), rel=0.01)
    assert float(found["List price"].strip("$")) == pytest.approx(float(usage["cost"]["list_price"]), rel=0.01)
    assert page.locator(".user .said").inner_text() == "the cat sat"
    page.wait_for_function("() => document.querySelector('#spoken').innerText.includes('End of the answer. It cost $')")
    assert page.evaluate("document.activeElement.id") == "prompt"


def test_a_message_has_its_price_before_it_is_sent(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0])
    page.wait_for_function("() => document.querySelector('.empty .fine')?.innerText")
    assert page.locator(".empty .fine").inner_text() == (
        "0.1,1,2: $1.00 in, $0.10 where it hits the cache, $2.00 out, per million tokens"
    )
    page.locator("#prompt").press_sequentially("the cat sat")
    page.wait_for_selector("#forecast:visible")
    told = page.locator("#forecast").inner_text()
    assert not page.is_visible("#hint")
    page.press("#prompt", "Enter")
    assert page.is_hidden("#forecast")
    answered(page)
    tokens = int(receipt(page)["In"])
    total = (tokens + 2 * 8) / 1e6
    assert told == f"{tokens} tokens in, ${tokens / 1e6:.8f} at most; with 8 tokens out, ${total:.7f} at most"


def test_settings_and_the_system_prompt_are_sent_and_kept(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0], system="Be brief.", temperature=0, seed=7, stops="dog\nhat")
    with page.expect_request("**/v1/chat/completions") as sent:
        say(page, "the cat")
    body = sent.value.post_data_json
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "the cat"},
    ]
    asked = {name: body[name] for name in ("model", "max_tokens", "temperature", "seed", "stop", "stream")}
    assert asked == {
        "model": "small",
        "max_tokens": 8,
        "temperature": 0,
        "seed": 7,
        "stop": ["dog", "hat"],
        "stream": True,
    }
    assert "top_p" not in body
    answered(page)
    first = shown(page)
    page.reload()
    assert shown(page) == first  # the conversation outlives a reload, and so do the settings
    assert page.input_value("#set-temperature") == "0"
    with page.expect_request("**/v1/chat/completions") as sent:
        say(page, "and the dog")
    assert [turn["role"] for turn in sent.value.post_data_json["messages"]] == ["system", "user", "assistant", "user"]


def test_escape_stops_an_answer_and_the_engine(new_page: NewPage, served: Served) -> None:
    url, shared = served
    page = chat(new_page, url, max_tokens=1500, temperature=0)  # a drawn token may end it at once
    say(page, "the cat sat on the mat")
    page.wait_for_function("() => document.querySelector('.answer > .prose')?.innerText.length > 3")
    page.keyboard.press("Escape")
    page.wait_for_selector(".answer .note")
    assert page.locator(".answer .note").inner_text().startswith("Stopped;")
    assert page.is_visible("#send")
    deadline = time.monotonic() + 20
    while shared.engine.stats().running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shared.engine.stats().running == 0
    text = shown(page)
    page.wait_for_timeout(300)
    assert shown(page) == text


def test_regenerate_keeps_both_answers(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0], temperature=2)
    say(page, "the cat")
    answered(page)
    first = shown(page)
    page.click(".answer .again")
    page.wait_for_function("() => document.querySelector('.answer .actions')?.innerText.includes('2 of 2')")
    second = shown(page)
    page.click(".answer .previous")
    assert shown(page) == first
    assert page.evaluate("document.activeElement.className").endswith("next")
    page.click(".answer .next")
    assert shown(page) == second
    assert page.locator(".turn").count() == 2


def test_editing_a_message_drops_what_followed(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0])
    say(page, "first")
    answered(page)
    say(page, "second")
    answered(page, 2)
    page.locator(".user .actions button").first.click()
    page.keyboard.press("Escape")
    assert page.locator(".user").count() == 2
    page.locator(".user .actions button").first.click()
    page.keyboard.type(" again")
    page.keyboard.press("Enter")
    answered(page)
    assert page.locator(".user .said").all_inner_texts() == ["first again"]
    page.click("#new-chat")
    assert page.locator(".turn").count() == 0
    assert page.is_visible(".empty")


def test_the_keyboard_alone_is_enough(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0])
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    stops = []  # it begins in the field for the message
    where = "() => document.activeElement === document.body ? '' : "
    where += "document.activeElement.id || document.activeElement.textContent.trim()"
    for _ in range(15):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(where))
    wanted = ["Skip to the content", "Chat", "Engine", "Bill", "Plan", "Keys", "language", "theme"]
    assert stops == ["send", "", *wanted, "mode-chat", "model", "settings-open", "new-chat", "prompt"]
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.keyboard.type("the cat")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("sat")
    assert page.input_value("#prompt") == "the cat\nsat"
    page.keyboard.press("Enter")
    answered(page)
    page.keyboard.press("ArrowUp")
    assert page.input_value(".rewrite") == "the cat\nsat"
    page.keyboard.press("Control+a")
    page.keyboard.type("the dog")
    page.keyboard.press("Enter")
    answered(page)
    assert page.locator(".user .said").inner_text() == "the dog"


def test_what_the_server_says_when_it_refuses_is_shown(new_page: NewPage, served: Served) -> None:
    page = chat(new_page, served[0])
    say(page, "the cat " * 1200)
    page.wait_for_selector(".answer .alert")
    assert "tokens" in page.locator(".answer .alert").inner_text()
    assert page.locator(".answer .again").inner_text() == "Try again"


def test_a_server_with_keys_asks_for_one(new_page: NewPage, served: Served, home: Path) -> None:
    url, _ = served
    store = Store(home / "ledger.sqlite")
    rich = add_key(store, "rich", tariff=tariff_for("0.1,1,2"))
    poor = add_key(store, "poor", tariff=tariff_for("1,1000,2000"), budget="$0.001")
    try:
        page = new_page(url)
        page.wait_for_selector("#key[open]")
        assert page.evaluate("document.activeElement.id") == "key-value"
        page.keyboard.press("Escape")
        page.wait_for_selector(".empty .alert")
        assert "no API key was sent" in page.locator(".empty .alert").inner_text()
        page.click("#key-open")
        page.keyboard.type("sk-wrong")
        page.keyboard.press("Enter")
        say(page, "the cat")
        page.wait_for_function("() => document.querySelector('#key-why').innerText.includes('did not take')")
        page.keyboard.type(poor)
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer .alert")
        assert "balance" in page.locator(".answer .alert").inner_text().lower()
        page.click("#key-open")
        page.keyboard.type(rich)
        page.keyboard.press("Enter")
        page.click("#settings-open")
        page.fill("#set-max_tokens", "8")
        page.click(".answer .again")
        answered(page)
        page.goto(f"{url}#bill")
        page.wait_for_selector("#bill table")
        assert "rich" in page.locator("#bill .lead").inner_text()
        assert page.locator("#bill tbody tr").count() == 1  # its own line, and nobody else's
        page.reload()
        page.wait_for_selector("#bill table")  # the key is kept until the tab is closed
        assert page.evaluate("localStorage.getItem('centime.key')") is None
    finally:
        revoke(store, "rich")
        revoke(store, "poor")
        store.close()
