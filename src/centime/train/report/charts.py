"""Pictures of a run as text: line charts as SVG, expert loads as PNG; colours come from the page's style sheet.

A chart is as wide as its place on the page: its plot is stretched to that width while its height, its letters, its
dots and the thickness of its lines stay as they are. So x is in shares of the plot's width, y in pixels.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Protocol

PLOT = 190  # height of the plot, pixels
ACROSS = 1000.0  # its width in the units of the stretched part
_TOP, _ROW, _BOTTOM = 16, 13, 34  # pixels: above the plot, each row of boundaries' names, and below for the axis
_NARROW, _LETTER = 250, 6.5  # pixels: the least width of a plot, on a phone; a letter of a boundary's name
MOST_POINTS = 280  # of a line; a longer one is drawn as bucket means inside a band from minimum to maximum

Point = tuple[float, float]
Bucket = tuple[float, float, float, float]  # x, mean, minimum, maximum


class Format(Protocol):
    """Writes a value, with its usual digits or with so many significant ones."""

    def __call__(self, value: float, digits: int = ..., /) -> str: ...


@dataclass(frozen=True)
class Series:
    """One line, or one row of dots, of a chart. `points` are (x, y) in data units, x rising."""

    name: str
    points: Sequence[Point]
    tone: int = 0  # 0, 1 or 2: the page's colour; the same thing has the same colour in every chart
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """What one plot shows. `marks` are (x, label) boundaries; `level` is a horizontal line with its label."""

    title: str
    unit: str
    series: list[Series]
    format_y: Format
    format_x: Format
    x_title: str = "tokens"
    marks: list[tuple[float, str]] = field(default_factory=list)
    level: tuple[float, str] | None = None
    span: tuple[float, float] | None = None  # of x, so that charts beside each other agree; None: that of the data
    from_zero: bool = False


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from at or above `low` to at or below `high`."""
    rough = (high - low) / about
    if not rough >= sys.float_info.min:  # nothing between them, or nothing that a float can divide
        return [low]
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where there are few, inside 10^low to 10^high."""
    exponents = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    every = max(1, math.ceil((high - low) / 8))  # no closer than a letter is high
    return [m * 10.0**e for e in exponents for m in steps if low <= math.log10(m * 10.0**e) <= high and e % every == 0]


def tick_labels(ticks: Sequence[float], write: Format) -> list[str]:
    """The ticks as text, all to the same digits: the fewest with which each says what it is."""
    exact = [_trimmed(write(tick, 9)) for tick in ticks]
    for digits in range(1, 9):
        labels = [_trimmed(write(tick, digits)) for tick in ticks]
        if labels == exact:
            return labels
    return exact


def bucketed(points: Sequence[Point], most: int = MOST_POINTS) -> list[Bucket]:
    """(x, mean, minimum, maximum) of at most `most` runs of neighbouring points of nearly equal length."""
    count = min(len(points), most)
    edges = [i * len(points) // count for i in range(count + 1)] if count else []
    out = []
    for a, b in pairwise(edges):
        ys = [y for _, y in points[a:b]]
        out.append((sum(x for x, _ in points[a:b]) / (b - a), sum(ys) / (b - a), min(ys), max(ys)))
    return out


def line_chart(chart: Chart) -> str:
    """The chart as an SVG element of its own, with a title for a screen reader and hover points for the page's script.

    A y axis that spans more than a factor of 50 above zero is logarithmic, and says so.
    """
    drawn = [(s, bucketed(s.points)) for s in chart.series if s.points]
    if not drawn:
        return '<p class="empty">Nothing was recorded.</p>'
    xs: list[float] = [p[0] for _, points in drawn for p in points]
    xs += [*(x for x, _ in chart.marks), *(chart.span or ())]
    ys = [v for _, points in drawn for p in points for v in p[2:]] + ([chart.level[0]] if chart.level else [])
    x_low, x_high = min(xs), max(xs)
    x_high = x_high if x_high > x_low else x_low + 1
    low, high = min(ys), max(ys)
    log = low > 1e-30 and high / low > 50 and not chart.from_zero
    if log:
        low, high = math.log10(low), math.log10(high)
    elif chart.from_zero:
        low = min(low, 0.0)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = low if chart.from_zero and low == 0 else low - margin, high + margin

    def px(x: float) -> float:
        """0 to 1 across the plot."""
        return (x - x_low) / (x_high - x_low)

    def py(y: float) -> float:
        """Pixels below the plot's top."""
        return PLOT - ((math.log10(y) if log else y) - low) / (high - low) * PLOT

    rows = _rows_of_marks([(px(x), label) for x, label in chart.marks])
    top = _TOP + _ROW * max(rows, default=0)
    bottom = top + PLOT
    said = escape(_described(chart, drawn))
    size = f'height="{bottom + _BOTTOM}" data-top="{top}" data-plot="{PLOT}"'
    out = [f'<svg class="chart" {size} role="img" tabindex="0" aria-label="{said}">']
    ticks = log_ticks(low, high) if log else nice_ticks(low, high)
    for y, label in zip(ticks, tick_labels(ticks, chart.format_y), strict=True):
        out.append(_rule("grid", (0, 1), (top + py(y), top + py(y))))
        out.append(_text("tick", 0, top + py(y) + 4, "end", label, shift=-7))
    ticks = nice_ticks(x_low, x_high, 4)
    for x, label in zip(ticks, tick_labels(ticks, chart.format_x), strict=True):
        out.append(_text("tick", px(x), bottom + 16, "middle", label))
    out.append(_text("axis", 1, bottom + 31, "end", chart.x_title))
    if log:
        out.append(_text("axis", 0, bottom + 31, "start", "logarithmic"))
    for (x, label), row in zip(chart.marks, rows, strict=True):
        at = px(x)
        out.append(_rule("mark", (at, at), (top - 2, bottom)))
        anchor, shift = ("end", 3) if at > 0.5 else ("start", -3)
        out.append(_text("label", at, top - 5 - _ROW * row, anchor, label, shift))
    if chart.level:
        y = top + py(chart.level[0])
        out += [_rule("level", (0, 1), (y, y)), _text("label", 0, y - 5, "start", chart.level[1], shift=6)]
    box = f'viewBox="0 0 {ACROSS:g} {PLOT}" preserveAspectRatio="none"'
    out.append(f'<svg y="{top}" width="100%" height="{PLOT}" {box}>')
    out += [shape for series, points in drawn for shape in _lines(series, points, px, py)]
    out.append("</svg>")
    out += [dot for series, points in drawn for dot in _dots(series, points, px, lambda y: top + py(y))]
    hover = [
        [
            round(px(x), 4), round(top + py(mean), 1), series.tone,
            f"{chart.format_x(x)} {chart.x_title}", f"{series.name}: {chart.format_y(mean)}",
        ]
        for series, points in drawn
        for x, mean, _, _ in points
    ]  # fmt: skip
    data = escape(json.dumps(hover, ensure_ascii=False, separators=(",", ":")))
    return "".join([*out, f'<g class="hover" data-points="{data}"></g></svg>'])


def _rows_of_marks(marks: Sequence[tuple[float, str]]) -> list[int]:
    """A row above the plot for each boundary's name, 0 the lowest, so that no two lie over each other on a phone."""
    taken: list[tuple[int, float, float]] = []
    for at, label in marks:
        width = _LETTER * len(label) / _NARROW
        start, end = (at - width, at) if at > 0.5 else (at, at + width)
        busy = {row for row, a, b in taken if start < b + 0.02 and a < end + 0.02}
        taken.append((next(row for row in range(len(marks)) if row not in busy), start, end))
    return [row for row, _, _ in taken]


def _rule(kind: str, x: tuple[float, float], y: tuple[float, float]) -> str:
    x1, x2 = (f"{100 * at:.2f}%" for at in x)
    return f'<line class="{kind}" x1="{x1}" x2="{x2}" y1="{y[0]:.1f}" y2="{y[1]:.1f}"/>'


def _text(kind: str, x: float, y: float, anchor: str, words: str, shift: float = 0) -> str:
    moved = f' dx="{shift:g}"' if shift else ""
    return f'<text class="{kind}" x="{100 * x:.2f}%" y="{y:.1f}"{moved} text-anchor="{anchor}">{escape(words)}</text>'


def _trimmed(text: str) -> str:
    """A tick without the zeros that carry nothing: $0.00400 -> $0.004, 8.00 -> 8."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", lambda m: m[1].rstrip("."), text)


def _lines(
    series: Series, points: list[Bucket], px: Callable[[float], float], py: Callable[[float], float]
) -> list[str]:
    """The series' line in its band, in units of the stretched part."""
    if series.dots or len(points) == 1:
        return []
    out = []
    if any(low != high for _, _, low, high in points):
        edge = [f"{ACROSS * px(x):.1f},{py(high):.1f}" for x, _, _, high in points]
        edge += [f"{ACROSS * px(x):.1f},{py(low):.1f}" for x, _, low, _ in reversed(points)]
        out.append(f'<polygon class="band s{series.tone}" points="{" ".join(edge)}"/>')
    line = " ".join(f"{ACROSS * px(x):.1f},{py(y):.1f}" for x, y, _, _ in points)
    return [*out, f'<polyline class="s{series.tone}" points="{line}"/>']


def _dots(
    series: Series, points: list[Bucket], px: Callable[[float], float], py: Callable[[float], float]
) -> list[str]:
    if not series.dots and len(points) > 1:
        return []
    kind = f"s{series.tone}"
    return [f'<circle class="{kind}" cx="{100 * px(x):.2f}%" cy="{py(y):.1f}" r="3.5"/>' for x, y, _, _ in points]


def _described(chart: Chart, drawn: list[tuple[Series, list[Bucket]]]) -> str:
    """The sentence that a screen reader gets in place of the picture."""
    parts = [
        f"{s.name} from {chart.format_y(points[0][1])} to {chart.format_y(points[-1][1])}, "
        f"lowest {chart.format_y(min(p[2] for p in points))}, highest {chart.format_y(max(p[3] for p in points))}"
        for s, points in drawn
    ]
    return f"{chart.title} ({chart.unit}) against {chart.x_title}: " + "; ".join(parts)


# Colours of a load below and above the mean; their opacity says how far, so that balance is the page's own background.
_BELOW, _ABOVE = (42, 120, 214), (235, 104, 52)
_FULL_AT = 2.0  # a quarter and four times the mean load are fully opaque: |log2(load / mean)| = 2


def load_image(rows: Sequence[Sequence[float]]) -> str:
    """Expert loads as a data: URI of a PNG: rows are experts, columns are moments, values are load over mean load."""
    height, width = len(rows), len(rows[0]) if rows else 0
    lines = bytearray()
    for row in rows:
        lines.append(0)  # PNG filter: none
        for load in row:
            away = math.log2(max(load, 2.0**-_FULL_AT)) / _FULL_AT
            lines += bytes((*(_ABOVE if away > 0 else _BELOW), round(255 * min(1.0, abs(away)))))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits a channel, RGBA
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(lines), 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
