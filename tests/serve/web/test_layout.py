"""Nothing is hidden at the side: every view at a phone's, a laptop's and a screen's width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.browser import NewPage
from tests.ledger.made import made

from centime.ledger import Book

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

Served = "tuple[str, Serving]"
WIDTHS = (390, 1000, 1600)

# What reaches beyond the window, or beyond a box that cuts it off without a way to scroll there.
BEYOND = """() => {
  const all = [...document.querySelectorAll("header *, main *, dialog[open] *")];
  const room = (node) => {
    for (let box = node.parentElement; box; box = box.parentElement) {
      const { overflowX } = getComputedStyle(box);
      if (overflowX === "auto" || overflowX === "scroll") return Infinity;
      if (overflowX === "hidden" || overflowX === "clip") return box.getBoundingClientRect().right + 1;
    }
    return innerWidth + 1;
  };
  const beyond = all
    .filter((node) => node.checkVisibility() && !node.closest(".unseen, thead, datalist, option"))
    .filter((node) => node.getBoundingClientRect().right > room(node));
  return [document.scrollingElement.scrollWidth - innerWidth, beyond.map((node) => node.outerHTML.slice(0, 120))];
}"""

# Boxes that scroll sideways and do not show it: no shadow at their edge, or nobody can reach them by keyboard.
MUTE = """() => [...document.querySelectorAll("main *, dialog[open] *")]
  .filter((node) => node.checkVisibility() && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0)
  .filter((node) => ["auto", "scroll"].includes(getComputedStyle(node).overflowX))
  .filter((node) => node.tagName !== "TEXTAREA")
  .filter((node) => node.tabIndex < 0 || !getComputedStyle(node).backgroundImage.includes("gradient"))
  .map((node) => node.outerHTML.slice(0, 120))"""

WIDE = f"""A word: {"x" * 300}

| a long head | b | c | d | e | f | g | h |
|---|---|---|---|---|---|---|---|
| a cell of several words | 1,234,567 | another cell | and more | words | in | these | cells |

```py
line = {"call(argument) + " * 20}1
```

`{"y" * 200}` and [https://a.b/{"z" * 200}](https://a.b)

> - # {"deep" * 60}
>   1. {"item" * 60}
"""


@pytest.fixture(scope="module", autouse=True)
def booked(home: Path, served: Served) -> None:
    """A bill with every section, long names and several devices."""
    rows = [
        made("pretrain"),
        made("sft", 0.1),
        made("prepare", 0.0000025, verb="data"),
        made("evaluate", verb="evaluate"),
    ]
    rows.append(made("serve", verb="serve", device="another device with quite a long name of its own"))
    with Book(home / "ledger.sqlite") as book:
        book.write(rows)


def chat_with_everything(page: Page) -> None:
    timing = {"asked": 1, "first": 1.5, "last": 3}
    cost = {"machine_cost": 0.000123, "machine_currency": "USD", "list_price": 0.01, "currency": "USD"}
    stopped = {
        "estimated": True,
        "prompt_tokens": 1234567,
        "completion_tokens": 7654321,
        "cost": {**cost, "price_list": "a-list"},
    }
    answers: list[dict[str, Any]] = [
        {"text": WIDE, "reasoning": WIDE, "thoughtSeconds": 2, "finish": "stop", "timing": timing},
        {"text": "Half an ans", "reasoning": "", "finish": "stopped", "usage": stopped, "timing": timing},
        {"text": "", "reasoning": "", "error": f"It failed: {'e' * 200}", "timing": timing},
    ]
    turns: list[dict[str, Any]] = []
    for mode, answer in [*(("chat", one) for one in answers), ("text", answers[0])]:
        turns.append({"role": "user", "text": f"Show {'all' * 100}", "mode": mode})
        turns.append({"role": "assistant", "at": 0, "variants": [answer]})
    page.wait_for_selector("#model option", state="attached")
    page.evaluate("(turns) => sessionStorage.setItem('centime.turns', JSON.stringify(turns))", turns)
    page.reload()
    page.wait_for_selector(".receipt")
    page.click(".thought summary")
    page.click("#settings-open")
    page.fill("#prompt", "long " * 30 + "w" * 300)
    page.wait_for_selector("#forecast:visible")


def text_to_go_on_with(page: Page) -> None:
    page.wait_for_selector("#model option", state="attached")
    page.check("#mode-text", force=True)
    page.fill("#prompt", "x" * 300)


def planned(page: Page, verb: str) -> None:
    page.wait_for_selector("#plan-form .fields")
    page.check(f"#plan-{verb}", force=True)
    page.locator("#plan-form summary").click()
    page.click("#plan-run")
    page.wait_for_selector("#plan-result .facts", timeout=120_000)
    for summary in page.locator("#plan-result summary").all():
        summary.click()


VIEWS = {
    "chat": ("#chat", chat_with_everything),
    "text": ("#chat", text_to_go_on_with),
    "engine": ("#engine", lambda page: page.wait_for_selector(".gauges")),
    "bill": ("#bill", lambda page: page.wait_for_selector("#bill .lines")),
    "plan serve": ("#plan", lambda page: planned(page, "serve")),
    "plan train": ("#plan", lambda page: planned(page, "train")),
    "key": ("#chat", lambda page: page.evaluate("document.getElementById('key').showModal()")),
}


@pytest.mark.parametrize(
    ("view", "locale"),
    [pytest.param(view, "en-US", marks=() if "plan" in view else pytest.mark.long) for view in VIEWS]
    + [(view, "fr-FR") for view in VIEWS if "plan" not in view],  # whose words are longer
)
def test_nothing_reaches_beyond_the_page(view: str, locale: str, new_page: NewPage, served: Served) -> None:
    hash_, prepare = VIEWS[view]
    page = new_page(f"{served[0]}{hash_}", width=WIDTHS[0], height=780, locale=locale)
    prepare(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 780})
        for _ in range(2 if "plan" in view else 1):  # a plan comes in both languages
            page.wait_for_timeout(150)  # charts are drawn at the new width
            assert page.evaluate(BEYOND) == [0, []], width
            assert page.evaluate(MUTE) == [], width
            if "plan" in view:
                page.click("#language")


def test_what_reaches_beyond_is_found(new_page: NewPage, served: Served) -> None:
    """The measures of the test above can fail."""
    page = new_page(f"{served[0]}#chat", width=390, height=780)
    chat_with_everything(page)
    assert page.locator(".prose .scroll, .prose pre").count() > 0
    page.evaluate("() => document.querySelectorAll('.scroll, pre').forEach((box) => (box.style.background = 'none'))")
    assert len(page.evaluate(MUTE)) >= 2
    page.evaluate("() => document.querySelectorAll('.scroll, pre').forEach((box) => (box.style.overflowX = 'clip'))")
    assert page.evaluate(BEYOND)[1]


def test_a_bill_names_durations_and_notes_in_the_language(new_page: NewPage, served: Served, home: Path) -> None:
    rows = [
        made("sft", price_kind="assumed", price_note="priced as 2 vCPUs of AWS, c7i, $0.0446 per vCPU-hour"),
        made("sft", price_kind="assumed", price_note="something else", price_date="2025-06-01"),
        made("sft", currency="EUR"),
        made("sft", price_per_hour=None, currency=None, price_date=None, price_kind=None),
        made("sft", state="recovered", estimated_ns=10**9),
        made("sft", state="open"),
    ]
    with Book(home / "ledger.sqlite") as book:
        book.write(rows)
    page = new_page(f"{served[0]}#bill", locale="fr-FR")
    page.wait_for_selector("#bill .notes li")
    assert page.locator("#bill .notes li").count() >= 7
    assert page.locator("#bill .notes [lang=en]").all_inner_texts() == []
    assert "9\u202fms" in page.locator("#bill .lines").inner_text()  # of 0.0000025 hours
