"""The page's markdown: what models write, drawn while it grows, and never more than text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

# Draws texts one after the other into one element and gives the HTML of its blocks, buttons left out.
DRAW = """async (texts) => {
  const { Growing, drawn } = await import(new URL("static/growing.js", location.href));
  const box = document.createElement("div");
  const growing = new Growing(box);
  for (const text of texts) growing.show(text);
  await drawn();
  box.querySelectorAll(".code-head").forEach((head) => head.remove());
  for (const node of box.querySelectorAll("[tabindex]")) {
    for (const name of ["tabindex", "role", "aria-label"]) node.removeAttribute(name);
  }
  return [...box.children].map((page) => page.innerHTML).join("");
}"""

CASES = {
    "Plain text.": "<p>Plain text.</p>",
    "one\ntwo\n\nthree": "<p>one<br>two</p><p>three</p>",
    "**strong** and *soft* and ~~gone~~": "<p><strong>strong</strong> and <em>soft</em> and <del>gone</del></p>",
    "**a *b* c**": "<p><strong>a <em>b</em> c</strong></p>",
    "snake_case_name and _soft_": "<p>snake_case_name and <em>soft</em></p>",
    "2 * 3 * 4 and a ** b": "<p>2 * 3 * 4 and a ** b</p>",
    "`x < y` and `` a`b ``": "<p><code>x &lt; y</code> and <code>a`b</code></p>",
    "\\*not soft\\*": "<p>*not soft*</p>",
    "# Title\ntext": "<h3>Title</h3><p>text</p>",
    "####### seven": "<p>####### seven</p>",
    "---": "<hr>",
    "> quoted\n> **more**": "<blockquote><p>quoted<br><strong>more</strong></p></blockquote>",
    "- a\n- b": "<ul><li>a</li><li>b</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "1. a\n   - b\n   - c\n2. d": "<ol><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ol>",
    "- a\n\n  more\n- b": "<ul><li><p>a</p><p>more</p></li><li><p>b</p></li></ul>",
    "text\n- a": "<p>text</p><ul><li>a</li></ul>",
    "- [x] done\n- [ ] open": "<ul><li>☑ done</li><li>☐ open</li></ul>",
    "1986. A year.": '<ol start="1986"><li>A year.</li></ol>',
    "It was\n1986. A year.": "<p>It was<br>1986. A year.</p>",
    "```py\na = 1 < 2\n\n# no title\n```\nafter": (
        '<div class="code"><pre><code>a = 1 &lt; 2\n\n# no title</code></pre></div><p>after</p>'
    ),
    "```\nopen, still": '<div class="code"><pre><code>open, still</code></pre></div>',
    "````\n```\n````": '<div class="code"><pre><code>```</code></pre></div>',
    "|a|b|\n|:-|-:|\n|1|`x\\|y`|\n|2|": (
        '<div class="scroll"><table><thead><tr><th scope="col">a</th><th class="right" scope="col">b</th></tr></thead>'
        '<tbody><tr><td>1</td><td class="right"><code>x|y</code></td></tr><tr><td>2</td></tr></tbody></table></div>'
    ),
    "a | b is no table": "<p>a | b is no table</p>",
}

LINK = ' target="_blank" rel="noopener noreferrer nofollow"'
LINKS = {
    "[the *report*](https://a.b/c)": f'<p><a href="https://a.b/c"{LINK}>the <em>report</em></a></p>',
    "see https://a.b/c_(d).": f'<p>see <a href="https://a.b/c_(d)"{LINK}>https://a.b/c_(d)</a>.</p>',
    "(see https://a.b/c)": f'<p>(see <a href="https://a.b/c"{LINK}>https://a.b/c</a>)</p>',
    "[w](https://a.b/c_(d))": f'<p><a href="https://a.b/c_(d)"{LINK}>w</a></p>',
    "![alt](https://a.b/pixel.png)": f'<p><a href="https://a.b/pixel.png"{LINK}>alt</a></p>',  # nothing is loaded
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "[x](data:text/html,hi)": "<p>[x](data:text/html,hi)</p>",
    "[x](/user/balance)": "<p>[x](/user/balance)</p>",
    "[x](//evil.example)": "<p>[x](//evil.example)</p>",
}

HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "[<img src=x onerror='window.hit = 1'>](https://a.b)",
    "```<img src=x onerror=window.hit=1>\n</code></pre><script>window.hit = 1</script>\n```",
    "|<b onmouseover=window.hit=1>|\n|-|\n|</table><script>window.hit=1</script>|",
    '[x](https://a.b/"onmouseover="window.hit=1)',
    "> - # **<iframe srcdoc='<script>parent.hit=1</script>'>**",
]

ANSWER = """## A title

A *paragraph* with `code`, a [link](https://a.b) and
a second line.

1. first
   - inner **strong**
2. second

> quoted

| a | b |
|---|--:|
| 1 | 2 |

```python
def f(x):
    return x ** 2
```

The end."""


@pytest.fixture(scope="module")
def page(chromium: Browser, bare: str) -> Iterator[Page]:
    """One tab for all texts."""
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(bare)
    yield tab
    context.close()


@pytest.mark.parametrize("source", [*CASES, *LINKS])
def test_markdown_is_drawn(source: str, page: Page) -> None:
    assert page.evaluate(DRAW, [source]) == (CASES | LINKS)[source]


def test_what_a_model_writes_is_never_markup(page: Page) -> None:
    for source in HOSTILE:
        drawn = page.evaluate(DRAW, [source])
        for tag in ("<script", "<img", "<iframe", "<b "):
            assert tag not in drawn, source
    page.wait_for_timeout(50)
    assert page.evaluate("window.hit") is None


def test_a_growing_text_ends_as_if_drawn_at_once(page: Page) -> None:
    whole = page.evaluate(DRAW, [ANSWER])
    assert page.evaluate(DRAW, [ANSWER[:end] for end in range(len(ANSWER) + 1)]) == whole
    assert page.evaluate(DRAW, [ANSWER, "another text", ANSWER]) == whole


def test_blocks_that_are_done_are_not_drawn_again(page: Page) -> None:
    """Else a selection would be lost with every token, and a long answer would cost its square."""
    kept = page.evaluate(
        """async () => {
          const { Growing } = await import(new URL("static/growing.js", location.href));
          const box = document.createElement("div");
          const growing = new Growing(box);
          growing.show("first\\n\\nsecond");
          const [first, second] = box.querySelectorAll("p");
          growing.show("first\\n\\nsecond grows");
          const now = box.querySelectorAll("p");
          return [now[0] === first, now[1] === second];
        }"""
    )
    assert kept == [True, False]


@pytest.mark.parametrize("piece", ["**a ", "[", "`", "> ", "- ", "![x](", "_a", "<http://a ", "|-", "* * "])
def test_a_long_hostile_text_is_drawn_soon(piece: str, page: Page) -> None:
    """Marks that never close, tens of thousands of them: nothing is tried again from each of them."""
    assert page.evaluate(DRAW, [piece * 20_000])
    assert page.evaluate(DRAW, [(piece + "\n") * 20_000])
