"""Pictures of a run as text: line charts as SVG, expert loads as PNG; colours come from the page's style sheet."""

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

WIDTH, HEIGHT = 560, 250  # of a chart, in its own units; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 28, 34  # margins around the plot
MOST_POINTS = 280  # of a line; a longer one is drawn as bucket means inside a band from minimum to maximum

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line, or one row of dots, of a chart. `points` are (x, y) in data units, x rising."""

    name: str
    points: Sequence[Point]
    tone: int = 0  # 0, 1 or 2: the page's colour; the same thing has the same colour in every chart
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """What one figure shows. `marks` are (x, label) boundaries; `level` is a horizontal line with its label."""

    title: str
    unit: str
    series: list[Series]
    format_y: Callable[[float], str]
    format_x: Callable[[float], str]
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


def bucketed(points: Sequence[Point], most: int = MOST_POINTS) -> list[tuple[float, float, float, float]]:
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
        return _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        at = math.log10(y) if log else y
        return HEIGHT - _BOTTOM - (at - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    said = escape(_described(chart, drawn))
    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{said}">']
    for y in _log_ticks(low, high) if log else nice_ticks(low, high):
        out.append(_rule("grid", _LEFT, right, py(y), py(y)))
        out.append(_text("tick", _LEFT - 7, py(y) + 4, "end", _trimmed(chart.format_y(y))))
    for x in nice_ticks(x_low, x_high, 6):
        out.append(_text("tick", px(x), bottom + 16, "middle", chart.format_x(x)))
    out.append(_text("axis", right, HEIGHT - 3, "end", chart.x_title))
    if log:
        out.append(_text("axis", _LEFT, HEIGHT - 3, "start", "logarithmic"))
    for i, (x, label) in enumerate(chart.marks):
        out.append(_rule("mark", px(x), px(x), _TOP, bottom))
        anchor, shift = ("end", 3) if px(x) > WIDTH * 0.85 else ("start", -3)
        out.append(_text("label", px(x) + shift, _TOP - 4 - 12 * (i % 2), anchor, label))
    if chart.level:
        y = py(chart.level[0])
        out += [_rule("level", _LEFT, right, y, y), _text("label", _LEFT + 6, y - 5, "start", chart.level[1])]
    hover = []
    for series, points in drawn:
        out += _drawn_series(series, points, px, py)
        for x, mean, _, _ in points:
            words = f"{chart.format_x(x)} {chart.x_title}", f"{series.name}: {chart.format_y(mean)}"
            hover.append([round(px(x), 1), round(py(mean), 1), series.tone, *words])
    data = escape(json.dumps(hover, ensure_ascii=False, separators=(",", ":")))
    return "".join([*out, f'<g class="hover" data-points="{data}"></g></svg>'])


def _rule(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, anchor: str, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _trimmed(text: str) -> str:
    """A tick without the zeros that carry nothing: $0.00400 -> $0.004, 8.00 -> 8."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", lambda m: m[1].rstrip("."), text)


def _drawn_series(
    series: Series,
    points: list[tuple[float, float, float, float]],
    px: Callable[[float], float],
    py: Callable[[float], float],
) -> list[str]:
    kind = f"s{series.tone}"
    if series.dots or len(points) == 1:
        return [f'<circle class="{kind}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5"/>' for x, y, _, _ in points]
    out = []
    if any(low != high for _, _, low, high in points):
        edge = [f"{px(x):.1f},{py(high):.1f}" for x, _, _, high in points]
        edge += [f"{px(x):.1f},{py(low):.1f}" for x, _, low, _ in reversed(points)]
        out.append(f'<polygon class="band {kind}" points="{" ".join(edge)}"/>')
    line = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y, _, _ in points)
    return [*out, f'<polyline class="{kind}" points="{line}"/>']


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where there are few, inside 10^low to 10^high."""
    exponents = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    return [m * 10.0**e for e in exponents for m in steps if low <= math.log10(m * 10.0**e) <= high]


def _described(chart: Chart, drawn: list[tuple[Series, list[tuple[float, float, float, float]]]]) -> str:
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
