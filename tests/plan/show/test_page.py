"""A plan's page: every kind of section drawn, whole, without network or script, in both languages."""

from __future__ import annotations

import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from tests.browser import OUTSIDE, OVERLAPS, NewPage
from tests.plan.show.plans import made

from centime.errors import UserError
from centime.plan.show.page import write_page
from centime.plan.show.sections import (
    BarChart,
    Figure,
    Figures,
    Lever,
    Line,
    LineChart,
    Notes,
    Section,
    Span,
    StackedBars,
    Table,
    Timeline,
    Tornado,
    Waterfall,
)
from centime.plan.show.terminal import show
from centime.plan.verbs import sections, title

SECTIONS: list[Section] = [
    Figures([Figure("Cost", "$5 M", "80 %: 4 to 6")]),
    Table("By stage", ["stage", "hours"], [["pretrain <b>", "2"], ["Total", "2"]], total=True),
    BarChart("Bars", "s", [("one", 1.0), ("none", 0.0)]),
    StackedBars("Parts", "s", [("step", {"compute": 3.0, "bubble": 1.0})]),
    LineChart(
        "Growth", "GPUs", "month", [Line("GPUs", [(1, 10), (2, 1000)], [(1, 5, 20), (2, 400, 2000)])], log_y=True
    ),
    LineChart("Empty", "GPUs", "month", []),
    Tornado("Levers", "USD", 1.0, [Lever("price", -1.0, 3.0), Lever("load", 0.5, 1.5)]),
    Waterfall("Why", "USD", ("A", 5.0), [("chip", 3.0), ("price", -2.0)], ("B", 6.0)),
    Timeline("Pipeline", "s", [("0", [Span(0, 1, "F"), Span(1, 3, "B")]), ("1", [Span(1, 2, "F")])]),
    Notes("Assumptions", ["a sentence & another"]),
]


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn, and collects what a page asks from elsewhere."""

    VOID = frozenset({"meta", "rect", "line", "circle", "polyline", "polygon", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value or "" for name, value in attrs if name in {"src", "href"}] + ([tag] * (tag == "script"))
        if tag not in self.VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_a_page_is_whole_and_asks_nothing_from_elsewhere(tmp_path: Path, lang: str) -> None:
    path = tmp_path / "plan.html"
    write_page(path, "A plan", SECTIONS, lang, {"verb": "train"})
    text = path.read_text(encoding="utf-8")
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert page.outside == []
    assert text.count('role="img"') == 6  # an empty chart draws nothing
    assert "pretrain &lt;b&gt;" in text
    assert "nan" not in text
    assert f'<html lang="{lang}">' in text
    assert [file.name for file in tmp_path.iterdir()] == ["plan.html"]


@pytest.mark.slow
def test_nothing_of_a_page_is_outside_its_card_at_any_width(tmp_path: Path, new_page: NewPage) -> None:
    long = "a label that takes more room than a phone has beside its figure, " * 2
    wide = Table(
        "Wide", ["", *(f"a column's name {i}" for i in range(6))], [["Layout", *["2,470,137 – 3,148,649"] * 6]]
    )
    more: list[Section] = [
        wide,
        Tornado("Long", "USD", 1.0, [Lever(long, -1.0, 3.0)]),
        BarChart("B", "s", [(long, 1.0)]),
    ]
    path = tmp_path / "plan.html"
    write_page(path, "A plan of " + "layouts" * 20, [*SECTIONS, *more], "en", {"verb": "train"})
    page = new_page(path.as_uri())
    for width in (390, 768, 1138, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OUTSIDE) == [], width
        assert page.evaluate(OVERLAPS) == [], width
    charts = page.evaluate("[...document.querySelectorAll('svg.chart, .bars')].map((each) => each.clientWidth)")
    assert len(charts) == 8
    page.set_viewport_size({"width": 390, "height": 900})
    stacked = page.locator(".rows td[data-head]").first
    assert stacked.evaluate("(cell) => getComputedStyle(cell.parentElement).display") == "flex"


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--html"):
        write_page(tmp_path / "missing" / "plan.html", "A plan", SECTIONS, "en", {})


def test_a_page_is_for_those_whom_the_user_lets_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_page(tmp_path / "page.html", "A plan", SECTIONS, "en", {})
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o640


def test_a_narrow_terminal_cuts_no_text() -> None:
    """Columns that do not fit come in parts, each with the rows' names; words fold, figures stay whole."""
    layout = "tp=2, pp=16, dp=64, ep=16, mbs=2, schedule=dualpipe, recompute=selective"
    head = ["", *(f"chip {i}" for i in range(5))]
    table = Table(
        "Side by side", head, [["Layout", *[layout] * 5], ["Hours", *["2,470,137 – 3,148,649"] * 5]], "A note."
    )
    console = Console(width=80, file=io.StringIO(), color_system=None)
    show(console, table)
    show(console, SECTIONS[8])
    shown = console.file.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("2,470,137 – 3,148,649") == shown.count("recompute=selective") == 5
    assert shown.count("Layout") > 1
    assert re.search(r"^0 F+B+$", shown, re.MULTILINE)


# Of a page's bars: (title, label, whether its whisker crosses its end and lies within its row).
WHISKERS = """() => [...document.querySelectorAll("figure .bars")].flatMap((bars) => {
  const title = bars.closest("figure").querySelector("figcaption").firstChild.textContent.trim();
  return [...bars.querySelectorAll(".named")].map((named) => {
    const row = named.nextElementSibling;
    const box = row.getBoundingClientRect();
    const ends = [...row.querySelectorAll(".part")].map((part) => part.getBoundingClientRect().right);
    const whisker = [...row.querySelectorAll(".whisker")].map((line) => line.getBoundingClientRect());
    const [low, high] = [Math.min(...whisker.map((w) => w.left)), Math.max(...whisker.map((w) => w.right))];
    const crosses = low - 2 <= Math.max(...ends) && Math.max(...ends) <= high + 2;
    const within = box.left - 2 <= low && high <= box.right + 2;
    return [title, named.firstChild.textContent, whisker.length === 3 && crosses && within];
  });
})"""
# The charts whose every bar is a predicted figure; of waterfalls, the totals are.
PREDICTED = {"Where a step's time goes", "Training", "Serving", "Training and serving"}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_no_plan_scrolls_sideways_and_every_bar_with_an_interval_draws_it(
    tmp_path: Path, new_page: NewPage, scheme: str
) -> None:
    seen: set[str] = set()
    for number, maker in enumerate(made()):
        plan = maker()
        path = tmp_path / f"{number}.html"
        shown = sections(plan, "en" if scheme == "light" else "fr")
        write_page(path, title(plan, "en"), shown, "en", {"verb": plan.verb})
        page = new_page(path.as_uri(), color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        for width in (390, 1000, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0, (plan.verb, width)
            assert page.evaluate(OUTSIDE) == [], (plan.verb, width)
        drawn = {(name, label) for name, label, whole in page.evaluate(WHISKERS) if whole}
        charts = [one for one in shown if isinstance(one, BarChart | StackedBars | Waterfall)]
        assert drawn == {(chart.title, label) for chart in charts for label in chart.intervals}, plan.verb
        for chart in charts:
            labels = {"A", "B"} if isinstance(chart, Waterfall) else {label for label, _ in chart.bars}
            if isinstance(chart, Waterfall) or chart.title in PREDICTED:
                seen.add(f"{plan.verb}: {chart.title}")
                assert set(chart.intervals) == labels, (plan.verb, chart.title)
                assert all(low <= high for low, high in chart.intervals.values())
        page.context.close()
    if scheme == "light":
        assert {name.split(":")[0] for name in seen} == {"train", "serve", "explain", "diff", "compare", "lifetime"}
