"""The page for everybody: names of controls, contrast, landmarks, narrow windows, both languages, both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.browser import NewPage
from tests.ledger.made import made

from centime.ledger import Book

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


pytestmark = pytest.mark.slow

Served = "tuple[str, Serving]"
VIEWS = ("chat", "engine", "bill", "plan")
SMALL, LARGE, EDGE = 4.5, 3.0, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11, level AA

# Every text that is seen: (its text, its colour, the colours behind it from the front, its size and weight).
TEXTS = """() => {
  const seen = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const behind = (node) => {
    const found = [];
    for (; node; node = node.parentElement) found.push(getComputedStyle(node).backgroundColor);
    return [...found, "rgb(255, 255, 255)"];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const all = [];
  for (let text; (text = walker.nextNode()); ) {
    const of = text.parentElement;
    if (!text.data.trim() || !seen(of) || of.closest(".unseen, noscript, svg, option, :disabled")) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(of);
    all.push([text.data.trim(), color, behind(of), parseFloat(fontSize), Number(fontWeight)]);
  }
  for (const of of document.querySelectorAll("svg text")) {
    const { fill, fontSize } = getComputedStyle(of);
    all.push([of.textContent, fill, behind(of.closest("svg").parentElement), parseFloat(fontSize), 400]);
  }
  return all;
}"""

# What one can operate, with what a screen reader would call it.
CONTROLS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((node) => node.checkVisibility())
  .map((node) => {
    const by = (node.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean);
    const named = by.map((id) => document.getElementById(id)?.textContent).join(" ");
    const labels = [...(node.labels ?? [])].map((label) => label.textContent).join(" ");
    const name = node.getAttribute("aria-label") ?? (named || labels || node.textContent);
    return [node.outerHTML.slice(0, 120), name.trim()];
  })"""

SIZES = """() => [...document.querySelectorAll("button, select, input, .views a, summary")]
  .filter((node) => node.checkVisibility() && !["radio", "checkbox"].includes(node.type))
  .map((node) => [node.outerHTML.slice(0, 100), node.getBoundingClientRect().height])"""


@pytest.fixture(scope="module", autouse=True)
def booked(home: Path, served: Served) -> None:
    """Something of every section on the bill, on two devices, and a request that was served."""
    rows = [made("pretrain"), made("sft", 0.1), made("prepare", 0.2, verb="data"), made("evaluate", verb="evaluate")]
    rows.append(made("serve", verb="serve", device="another device with a long name", price_kind="assumed"))
    with Book(home / "ledger.sqlite") as book:
        book.write(rows)
    body = {"model": "small", "messages": [{"role": "user", "content": "the cat"}], "max_tokens": 4}
    assert httpx.post(f"{served[0]}v1/chat/completions", json=body, timeout=60).status_code == 200


READY = {"chat": "#model option", "engine": ".gauges", "bill": "#bill .lines", "plan": "#plan-form .fields"}

# An answer with everything there is, and one that failed, as the page keeps them.
WHOLE = {
    "text": "# T\n\n*a* `b` [c](https://a.b)\n\n> q\n\n- i\n\n|a|b|\n|-|-:|\n|1|2|\n\n```py\nx = 1\n```",
    "reasoning": "Let me think.",
    "thoughtSeconds": 2,
    "finish": "length",
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 20,
        "prompt_cache_hit_tokens": 4,
        "completion_tokens_details": {"reasoning_tokens": 5},
        "cost": {
            "machine_cost": "0.00012",
            "machine_currency": "USD",
            "list_price": "0.0003",
            "currency": "USD",
            "price_list": "deepseek-v4.1-flash",
            "hours": "peak",
        },
    },
    "timing": {"asked": 1, "first": 1.5, "last": 3},
}
FAILED = {"text": "", "reasoning": "", "error": "It failed.", "timing": {"asked": 1}}


def luminance(colour: tuple[float, float, float]) -> float:
    """WCAG 2.2's relative luminance of an sRGB colour, channels from 0 to 255."""
    linear = [c / 255 / 12.92 if c <= 10.31 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """WCAG 2.2's contrast ratio."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def rgb(page: Page, colours: list[str]) -> list[tuple[float, float, float, float]]:
    """CSS colours of any form as red, green, blue from 0 to 255 and alpha, as the browser paints them."""
    return [
        tuple(one)
        for one in page.evaluate(
            """(colours) => {
              const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
              return colours.map((colour) => {
                context.clearRect(0, 0, 1, 1);
                context.fillStyle = colour;
                context.fillRect(0, 0, 1, 1);
                const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
                return [r, g, b, a / 255];
              });
            }""",
            colours,
        )
    ]


def weak_texts(page: Page) -> list[tuple[str, float]]:
    """Texts whose contrast with what is behind them is under WCAG's level AA."""
    texts: list[list[Any]] = page.evaluate(TEXTS)
    every = sorted({colour for _, front, behind, *_ in texts for colour in (front, *behind)})
    known = dict(zip(every, rgb(page, every), strict=True))
    weak = []
    for text, front, behind, size, weight in texts:
        back = next(known[colour] for colour in behind if known[colour][3] == 1)
        found = contrast(known[front][:3], back[:3])
        if found < (LARGE if size >= 24 or (size >= 18.66 and weight >= 700) else SMALL):
            weak.append((text, round(found, 2)))
    assert texts
    return weak


def visit(page: Page, url: str, view: str) -> None:
    """Opens a view and waits for what it shows; the chat holds an answer with everything that markdown has."""
    page.goto(f"{url}#{view}")
    ready = {
        "chat": "#model option",
        "engine": ".gauges",
        "bill": "#bill .lines",
        "plan": "#plan-form .fields",
    }
    page.wait_for_selector(ready[view], state="attached")
    if view == "plan":
        page.fill("#plan-field-gpus", "64")
        page.click("#plan-run")
        page.wait_for_selector("#plan-result .facts")
    if view == "chat":
        turns = [{"role": "user", "text": "Show all."}, {"role": "assistant", "at": 0, "variants": [WHOLE, FAILED]}]
        page.evaluate("(turns) => sessionStorage.setItem('centime.turns', JSON.stringify(turns))", turns)
        page.reload()
        page.wait_for_selector(".receipt")
        page.click(".thought summary")
        page.click("#settings-open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_text_stands_out_and_every_control_has_a_name(
    view: str, scheme: str, new_page: NewPage, served: Served
) -> None:
    page = new_page(served[0], color_scheme=scheme)
    visit(page, served[0], view)
    assert weak_texts(page) == []
    unnamed = [html for html, name in page.evaluate(CONTROLS) if not name]
    assert unnamed == []
    assert page.locator("main h1:visible, main .unseen:visible").count() >= 1
    assert page.locator("[aria-current=page]").count() == 1
    if view == "chat":
        page.click(".answer .next")
        page.wait_for_selector(".alert")
        assert weak_texts(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edges_of_fields_and_what_is_pressed_are_seen(scheme: str, new_page: NewPage, served: Served) -> None:
    """Borders of fields and the focus ring against the page, 3 to 1 (1.4.11)."""
    page = new_page(served[0], color_scheme=scheme)
    names = ["--page", "--raised", "--sunken", "--edge", "--accent", "--bad", *(f"--c{n}" for n in range(12))]
    values = page.evaluate(
        """(names) => names.map((name) => {
          const probe = document.createElement("i");
          probe.style.color = `var(${name})`;
          document.body.append(probe);
          return getComputedStyle(probe).color;
        })""",
        names,
    )
    colour = {name: found[:3] for name, found in zip(names, rgb(page, values), strict=True)}
    for name in names[3:]:
        assert contrast(colour[name], colour["--page"]) >= EDGE, name
        assert contrast(colour[name], colour["--raised"]) >= EDGE, name


@pytest.mark.parametrize("language", ["English", "Français"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_narrow_window_needs_no_scrolling_sideways(
    view: str, language: str, new_page: NewPage, served: Served
) -> None:
    page = new_page(served[0], width=360, height=740, has_touch=True, is_mobile=True)
    if language == "Français":
        page.click("#language")
    visit(page, served[0], view)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    beyond = page.evaluate(
        """() => [...document.querySelectorAll("main *, header *")]
          .filter((node) => node.checkVisibility() && !node.closest(".scroll, .unseen, pre, svg, .skip"))
          .filter((node) => node.getBoundingClientRect().right > 361).map((node) => node.outerHTML.slice(0, 100))"""
    )
    assert beyond == []
    small = [html for html, height in page.evaluate(SIZES) if height < 24]  # WCAG 2.2, 2.5.8
    assert small == []


def test_landmarks_and_live_regions(new_page: NewPage, served: Served) -> None:
    page = new_page(served[0])
    assert page.locator("header, nav, main").count() == 3
    assert page.get_by_role("navigation").get_attribute("aria-label") == "Views"
    assert page.get_by_role("log").get_attribute("aria-label") == "Conversation"
    assert page.get_by_role("log").get_attribute("aria-live") == "off"  # sentences go to the status below
    assert page.locator("#spoken").get_attribute("role") == "status"
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    page.keyboard.press("Tab")
    assert page.locator("h1:visible").count() == 1


def test_an_answer_is_spoken_in_sentences(new_page: NewPage, bare: str) -> None:
    said = new_page(bare).evaluate(
        """async () => {
          const { hear, finish } = await import(new URL("static/speak.js", location.href));
          const said = [];
          const region = document.querySelector("#spoken");
          new MutationObserver(() => said.push(region.textContent)).observe(region, { childList: true });
          for (const piece of ["It ", "is 3.", "5. A", "nd m", "ore"]) hear(piece);
          finish("The end.");
          await new Promise((done) => setTimeout(done, 1500));
          return said;
        }"""
    )
    assert said == ["It is 3.5.", "And more The end."]


def test_the_language_is_switched_and_remembered(new_page: NewPage, served: Served) -> None:
    page = new_page(served[0])
    page.wait_for_selector("#model option", state="attached")
    assert page.locator("html").get_attribute("lang") == "en"
    page.click("#language")
    assert page.locator("html").get_attribute("lang") == "fr"
    assert page.locator(".views a").all_inner_texts() == ["Dialogue", "Moteur", "Facture", "Devis", "Clés"]
    assert page.locator("#send").inner_text() == "Envoyer"
    assert page.get_attribute("#prompt", "placeholder") == "Votre message"
    assert page.locator("#language").inner_text() == "English"
    assert page.get_attribute("#language", "lang") == "en"
    page.reload()
    assert page.title() == "Dialogue – centime"
    french = new_page(served[0], locale="fr-CA")
    assert french.title() == "Dialogue – centime"


def test_the_theme_follows_the_system_until_it_is_chosen(new_page: NewPage, served: Served) -> None:
    def dark(page: Page) -> bool:
        red, green, blue, _ = rgb(page, [page.evaluate("getComputedStyle(document.body).backgroundColor")])[0]
        return luminance((red, green, blue)) < 0.2

    page = new_page(served[0], color_scheme="dark")
    assert dark(page)
    page.click("#theme")  # from automatic to light
    assert not dark(page)
    assert "Light" in (page.get_attribute("#theme", "aria-label") or "")
    page.reload()
    assert not dark(page)
    page.click("#theme")
    assert dark(page)
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    assert not dark(page)
