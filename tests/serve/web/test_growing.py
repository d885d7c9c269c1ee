"""Any text is drawn in time that grows with its length, a bounded part of it in each frame, whatever its signs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

# Repeated to any length: what models loop on, and what costs a careless parser its square.
FAMILIES = {
    "blanks": " ",
    "blanks in a heading": "# a" + " " * 5000 + "b\n",
    "blanks in an item": "- " + " " * 5000 + "\u2028",
    "blanks in a fence": "```" + " " * 5000 + "x `\n",
    "blanks in a divider": "a|b\n-" + " " * 5000 + "x\n",
    "lines": "a\n",
    "paragraphs": "a\n\n",
    "one word": "x",
    "words": "word ",
    "backticks": "`",
    "ticks of every kind": "`` ` ``` ",
    "asterisks": "*",
    "open emphasis": "**a *b ",
    "emphasis": "*a* ",
    "brackets": "[",
    "links": "[a](https://a.b) ",
    "open links": "[a](",
    "bad addresses": "http://[",
    "addresses with points": "http://a" + "." * 1500 + "x ",
    "addresses with brackets": "http://a" + ")" * 1900 + " ",
    "quotes": ">",
    "quotes of lists": "> - ",
    "items": "- ",
    "item lines": "- a\n",
    "rows": "|1|2|\n",
    "tables": "|a|b|\n|-|-|\n|1|2|\n\n",
    "bars": "|",
    "dividers": "|-",
    "rules": "---\n",
    "fences": "```\n",
    "code": "```py\n" + "x = 1 # comment\n" * 5000,
    "code on a line": "```\n" + "x" * 50_000,
    "families": "👨‍👩‍👧‍👦",
    "right to left": "שלום עולם ",
    "no blanks": "猫は眠る。",
    "accents": "e\u0301\u0302\u0303",
    "nul": "\0",
    "halves of a sign": "\ud800",
    "separators": "a\u2028b\u2029",
    "html": "<img src=x onerror=alert(1)><b>\n",
    "tabs": "\t- a\n",
    "returns": "a\r\n",
    "escapes": "\\*\\_",
}

# Streams `piece` repeated to `length` in `chunks`, each drawn at once; what each draw put into the document.
STREAM = """async ([piece, length, chunks]) => {
  const { Growing, drawn } = await import(new URL("static/growing.js", location.href));
  const text = piece.repeat(Math.ceil(length / piece.length)).slice(0, length);
  const box = document.createElement("div");
  const growing = new Growing(box);
  let [most, all, elements] = [0, 0, 0];
  const watch = new MutationObserver((changes) => {
    const added = changes.flatMap((change) => [...change.addedNodes]);
    const characters = added.reduce((sum, node) => sum + node.textContent.length, 0);
    all += characters;
    most = Math.max(most, characters);
    elements = Math.max(elements, added.reduce((sum, { nodeType }) => sum + (nodeType === 1), 0));
  });
  watch.observe(box, { childList: true, subtree: true });
  for (let chunk = 1; chunk <= chunks; chunk += 1) {
    growing.show(text.slice(0, Math.ceil((length * chunk) / chunks)));
    await 0; // the observer has its turn
  }
  await drawn();
  const nodes = box.getElementsByTagName("*").length;
  const page = Math.max(0, ...[...box.children].map((one) => one.textContent.length));
  return { most, all, elements, nodes, page, shown: box.textContent.length, length: text.length };
}"""


@pytest.fixture(scope="module")
def page(chromium: Browser, bare: str) -> Iterator[Page]:
    """One tab for all texts."""
    context = chromium.new_context()
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(bare)
    yield tab
    context.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_draws_a_bounded_part_of_any_text(family: str, page: Page) -> None:
    """Counted, not timed: characters and blocks that one draw puts into the document, of a text many times as long."""
    found = page.evaluate(STREAM, [FAMILIES[family], 60_000, 60])
    assert found["most"] <= 24_000, found  # a piece of 4,000 characters drawn again, what a frame adds, tables' heads
    assert found["elements"] <= 2_000, found
    assert found["nodes"] <= 60_000, found


@pytest.mark.parametrize("family", ["lines", "words", "one word", "rows", "code"])
def test_the_work_grows_with_the_text_and_not_with_its_square(family: str, page: Page) -> None:
    """The same chunks, four times as many: each is drawn again while its piece is open, and not with every chunk."""
    short, long = (page.evaluate(STREAM, [FAMILIES[family], n, n // 500]) for n in (60_000, 240_000))
    assert max(one["all"] / one["length"] for one in (short, long)) <= 25  # drawn anew for every chunk: 60 and 240


def test_a_text_longer_than_markdown_is_drawn_for_is_shown_as_written_to_its_end(page: Page) -> None:
    found = page.evaluate(STREAM, ["*a* `b`\n\n", 400_000, 1])
    assert found["nodes"] <= 60_000
    end = page.evaluate(
        """async () => {
          const { Growing, drawn } = await import(new URL("static/growing.js", location.href));
          const box = document.createElement("div");
          new Growing(box).show("*a* `b`\\n\\n".repeat(40_000) + "the end");
          await drawn();
          const plain = box.querySelector(".plain") !== null;
          return [box.querySelectorAll("em").length, box.textContent.endsWith("the end"), plain];
        }"""
    )
    assert 5_000 < end[0] < 40_000
    assert end[1:] == [True, True]


def test_long_code_stays_one_block_whose_copy_is_the_code(page: Page) -> None:
    code = "".join(f"\tline({n})\n" for n in range(4000))
    found = page.evaluate(
        """async (text) => {
          const { Growing, drawn } = await import(new URL("static/growing.js", location.href));
          const box = document.createElement("div");
          const growing = new Growing(box);
          for (let at = 0; at < text.length; at += 777) growing.show(text.slice(0, at));
          growing.show(text);
          await drawn();
          const after = box.lastChild.lastChild.textContent;
          return [box.querySelectorAll("pre").length, box.querySelector("pre").textContent, after];
        }""",
        f"```py\n{code}```\nafter",
    )
    assert found == [1, code.removesuffix("\n"), "after"]


def test_a_long_table_goes_on_below_its_head(page: Page) -> None:
    rows = "".join(f"| row {n} | {n} |\n" for n in range(1000))
    heads = page.evaluate(
        """async (text) => {
          const { Growing, drawn } = await import(new URL("static/growing.js", location.href));
          const box = document.createElement("div");
          new Growing(box).show(text);
          await drawn();
          const heads = [...box.querySelectorAll("thead")].map((one) => one.textContent);
          return [heads, box.querySelectorAll("tbody tr").length];
        }""",
        f"| a | b |\n|---|--:|\n{rows}",
    )
    assert len(heads[0]) > 1
    assert set(heads[0]) == {"ab"}
    assert heads[1] == 1000


PARTS = ["a", "b ", "\n", "\n\n", "```", "~~~\n", "- ", "1. ", "|", "|-|", "> ", "# ", "\t", "    ", "*", "\r\n", "😀"]
LONG = ["x" * 900, " " * 700, "|a|b|\n|-|-|\n", "|1|2|\n" * 200, "- item\n" * 150, "words and words " * 90, "\n" * 300]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(PARTS + LONG), max_size=60), sizes=st.lists(st.integers(1, 3000), min_size=1))
def test_a_text_is_cut_as_it_is_however_it_came(parts: list[str], sizes: list[int], page: Page) -> None:
    at_once, streamed = page.evaluate(
        """async ([text, sizes]) => {
          const { pieces, START } = await import(new URL("static/pieces.js", location.href));
          const form = ({ kind, lines, closed, goesOn, newline, continued }) =>
            JSON.stringify([kind, lines, closed, goesOn, newline, continued]);
          const done = [];
          let [from, open, turn] = [START, [], 0];
          for (let at = 0; at < text.length; turn += 1) {
            at = Math.min(text.length, at + sizes[turn % sizes.length]);
            open = [];
            for (const piece of pieces(text.slice(0, at), from)) {
              if (piece.final) {
                if (open.length) throw new Error("a piece is done before the one before it");
                done.push(form(piece));
                from = piece.next;
              } else open.push(form(piece));
            }
          }
          return [[...pieces(text)].map(form), [...done, ...open]];
        }""",
        ["".join(parts), sizes],
    )
    assert streamed == at_once
