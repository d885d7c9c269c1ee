"""A picture as wide as its place: on a page, or in a file of its own.

x is in shares of the plot's width, and only what is drawn in it (lines, bands, lanes) is stretched to that width, so
that letters, dots and the thickness of lines stay as they are on any screen. y is in pixels.
"""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from centime.charts.scale import Scale
from centime.charts.svg import element, joined, rule, short, text

ACROSS = 1000.0  # the width of the stretched part in its own units
TONES = 12  # colours of charts.css, c0 to c11; further ones begin again
LETTER, ROW = 7.0, 14  # pixels: the width of a letter of a tick or name, the height of a row of them
NARROW, WIDE = 200, 420  # pixels: the least width of a plot, on a phone, and the usual one; see .spare in charts.css
AXIS, MOST_TICKS = 38, 6  # pixels: the height of the horizontal axis; about how many ticks it has
RIGHT = 16  # pixels beside a plot, as charts.css has it

STYLE = files("centime.charts").joinpath("charts.css").read_text(encoding="utf-8")

Legend = Sequence[tuple[str, str, str]]
"""(name, class of its colour, its value or '') of each."""


def tone(index: int) -> str:
    """The class of a colour of the palette."""
    return f"c{index % TONES}"


@dataclass(frozen=True)
class Picture:
    """A drawn chart: `body` is what stands in its SVG, `height` pixels high; `left` the longest text left of the plot;
    `hover` a point a row for the page's script: [share of the width, y, colour, where, what]. `said` tells a screen
    reader what is to be seen."""

    title: str
    said: str
    body: Markup
    height: float
    left: str
    legend: Legend = ()
    hover: Sequence[Sequence[float | str]] = ()
    plot: tuple[float, float] = (0.0, 0.0)  # its top and height, pixels
    note: str = ""  # what a reader has to know of it

    def on_page(self, *, script: bool = False) -> Markup:
        """Its element of a page; `script`: with the points that hover.js reads."""
        data = json.dumps(self.hover, ensure_ascii=False, separators=(",", ":")) if script else None
        svg = element(
            "svg",
            element("desc", self.said),
            self.body,
            *([element("g", "", class_="hover", data_points=data)] if data else []),
            class_="chart",
            height=self.height,
            role="img",
            tabindex="0" if script else None,
            data_top=self.plot[0] if script else None,
            data_plot=self.plot[1] if script else None,
            aria_label=self.title,
        )
        room = element("span", self.left, class_="room", aria_hidden="true")  # as wide as the longest text beside it
        note = element("p", self.note, class_="note") if self.note else ""
        return joined(element("div", room, svg, class_="plot"), legend(self.legend), note)

    def in_file(self, width: int = 760) -> str:
        """An SVG file of its own, its title and legend written in it."""
        left, top = LETTER * len(self.left) + 12, 36 + 18 * len(self.legend)
        keys = [
            joined(
                element("rect", x=left, y=34 + 18 * row, width=11, height=11, class_=f"part {kind}"),
                element("text", f"{name} {value}".strip(), x=left + 18, y=44 + 18 * row),
            )
            for row, (name, kind, value) in enumerate(self.legend)
        ]
        height, plot = top + self.height + 8, width - left - RIGHT
        inner = element("svg", self.body, x=left, y=top, width=plot, height=self.height, overflow="visible")
        return element(
            "svg",
            element("title", self.title),
            element("desc", self.said),
            element("style", Markup(":root { color-scheme: light dark; }\n" + STYLE)),
            element("rect", class_="page", width="100%", height="100%"),
            element("text", self.title, x=left, y=20, class_="title"),
            *keys,
            inner,
            xmlns="http://www.w3.org/2000/svg",
            class_="chart file",
            width=width,
            height=height,
            viewBox=f"0 0 {width} {short(height)}",
            role="img",
        )


def legend(entries: Legend) -> Markup:
    """Names beside their colours."""
    items = [
        element("li", element("span", "", class_=f"key {kind}"), name, *([" ", element("b", value)] if value else []))
        for name, kind, value in entries
    ]
    return element("ul", *items, class_="legend") if entries else Markup("")


def stretched(top: float, height: float, body: Iterable[str]) -> Markup:
    """What is stretched to the picture's width: x from 0 to ACROSS."""
    box = f"0 0 {ACROSS:g} {short(height)}"
    return element("svg", *body, y=top, width="100%", height=height, viewBox=box, preserveAspectRatio="none")


def axis_below(scale: Scale, labels: Sequence[str], title: str, lines: tuple[float, float]) -> list[Markup]:
    """The horizontal axis, `labels` at its MOST_TICKS or so ticks: lines between two heights, the labels below, and
    what is counted. There are as many labels as the usual page has room for, and those that a phone has none for are
    marked, to be left out there. No label leaves the picture."""
    shares = [scale.share(tick) for tick in scale.ticks(MOST_TICKS)]
    top, bottom = lines
    usual = _with_room([pair for pair in zip(shares, labels, strict=True) if pair[1]], WIDE)
    phone = _with_room(usual, NARROW)
    out = [rule("grid", (at, at), (top, bottom + 4)) for at in shares]
    for at, label in usual:
        anchor, shift = ("end", RIGHT - 2) if _is_last(at, label) else ("middle", None)
        kind = "tick" if (at, label) in phone else "tick spare"
        out.append(text(label, at, bottom + 17, kind=kind, anchor=anchor, shift=shift))
    return [*out, text(title, 1, bottom + 33, kind="quantity", anchor="end")]


def _with_room(ticks: Sequence[tuple[float, str]], width: float) -> Sequence[tuple[float, str]]:
    """Every tick, or every second, third and so on: the first whose labels do not lie over each other on a plot of so
    many pixels."""

    def ends(at: float, label: str) -> tuple[float, float]:
        long = LETTER * len(label)
        start = width * at + (RIGHT - long if _is_last(at, label) else -long / 2)
        return start, start + long

    return next(
        kept
        for every in itertools.count(1)
        for kept in [ticks[::every]]
        if all(ends(*b)[0] >= ends(*a)[1] + 8 for a, b in itertools.pairwise(kept))
    )


def _is_last(at: float, label: str) -> bool:
    """Whether a label in the middle below its tick would leave a phone's plot on the right."""
    return at * NARROW + LETTER * len(label) / 2 > NARROW + RIGHT


def folded(words: str, share: float = 1.0) -> list[str]:
    """A name in lines that fit in a share of the narrowest plot."""
    return textwrap.wrap(words, max(12, int(share * NARROW / LETTER)))


def boundaries(marks: Sequence[tuple[float, str]], top: float, plot: float) -> tuple[list[Markup], float]:
    """Verticals (share, label) through a plot so many pixels high, their names from `top` on, and where the plot begins
    below them: no two names lie over each other on a phone, and none leaves the picture."""
    taken: list[tuple[int, float, float]] = []
    placed: list[tuple[float, str, int]] = []  # where, a line of a name, its row, 0 the lowest
    for at, label in marks:
        lines = folded(label, max(at, 1 - at))
        width = LETTER * max(map(len, lines), default=0) / NARROW
        start, end = (at - width, at) if at > 0.5 else (at, at + width)
        busy = {row for row, a, b in taken if start < b + 0.03 and a < end + 0.03}
        first = next(row for row in itertools.count() if busy.isdisjoint(range(row, row + len(lines))))
        taken += [(first + i, start, end) for i in range(len(lines))]
        placed += [(at, line, first + i) for i, line in enumerate(reversed(lines))]
    begins = top + ROW * max((row + 1 for _, _, row in placed), default=0)
    out = [rule("mark", (at, at), (begins - 2, begins + plot)) for at, _ in marks]
    for at, line, row in placed:
        anchor, shift = ("end", 3) if at > 0.5 else ("start", -3)
        out.append(text(line, at, begins - 5 - ROW * row, kind="label", anchor=anchor, shift=shift))
    return out, begins
