"""Charts of a plan as HTML and SVG, as wide as their place on the page; colours come from the page's style sheet.

Bars are rows of text with a bar under each. In the pictures of lines and lanes x is in shares of the width, so that
only what is drawn is stretched; letters, dots and the thickness of lines stay as they are on any window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from centime.plan.show.sections import BarChart, LineChart, StackedBars, Timeline, Tornado, Waterfall

TONES = 12  # colours of the style sheet, c0 to c11; further parts begin again
ACROSS, PLOT, LANE = 1000.0, 230, 18  # the stretched part's width in its own units; pixels of a plot's, a lane's height
TOP, BOTTOM = 24, 40  # pixels above and below a plot

Part = tuple[float, float, str, str]  # start and width, shares of the row; class; what a pointer over it reads


def _rows(title: str, rows: Iterable[tuple[str, str, Sequence[Part]]], level: float | None = None) -> str:
    """Rows of (label, value, parts of the bar) with a name for a screen reader; `level`: a line across all bars."""
    out = [f'<div class="bars" role="img" aria-label="{escape(title)}">']
    mark = "" if level is None else f'<i class="level" style="left:{100 * level:.2f}%"></i>'
    for label, value, parts in rows:
        drawn = "".join(
            f'<i class="{kind}" style="left:{100 * start:.2f}%;width:{100 * width:.2f}%" title="{escape(hint)}"></i>'
            for start, width, kind, hint in parts
        )
        said = f"<span>{escape(label)}</span><span>{escape(value)}</span>"
        out.append(f'<div class="said">{said}</div><div class="track">{drawn}{mark}</div>')
    return "".join([*out, "</div>"])


def bars(chart: BarChart) -> str:
    """A horizontal bar a label, its value beside it."""
    most = max((abs(value) for _, value in chart.bars), default=0.0) or 1.0
    rows = ((label, chart.format(value), [(0.0, abs(value) / most, "c0", label)]) for label, value in chart.bars)
    return _rows(chart.title, rows)


def stacked(chart: StackedBars) -> tuple[str, list[tuple[str, str]]]:
    """Bars of parts side by side, and the legend as (part, class)."""
    parts = list(dict.fromkeys(name for _, values in chart.bars for name in values))
    most = max((sum(values.values()) for _, values in chart.bars), default=0.0) or 1.0
    rows = []
    for label, values in chart.bars:
        at, drawn = 0.0, []
        for name, value in values.items():
            kind = f"c{parts.index(name) % TONES}"
            drawn.append((at / most, value / most, kind, f"{name}: {_with_unit(chart, value)}"))
            at += value
        rows.append((label, _with_unit(chart, at), drawn))
    return _rows(chart.title, rows), [(name, f"c{index % TONES}") for index, name in enumerate(parts)]


def _with_unit(chart: StackedBars, value: float) -> str:
    """The value and its unit; money has its currency already."""
    text = chart.format(value)
    return text if any(sign in text for sign in "$€£¥") else f"{text} {chart.unit}"


def waterfall(chart: Waterfall) -> str:
    """From the first total to the last, a floating bar a cause."""
    rows: list[tuple[str, float, float, str]] = [(chart.start[0], 0.0, chart.start[1], "c0")]
    at = chart.start[1]
    for label, step in chart.steps:
        rows.append((label, at, at + step, "up" if step > 0 else "down"))
        at += step
    rows.append((chart.end[0], 0.0, chart.end[1], "c0"))
    return _floating(chart.title, rows, lambda low, high: chart.format(high if low == 0 else high - low))


def tornado(chart: Tornado) -> str:
    """Levers around the base, widest first."""
    levers = sorted(chart.levers, key=lambda lever: -abs(lever.high - lever.low))
    rows = [(lever.label, lever.low, lever.high, "c1") for lever in levers]
    assert len({lever.label for lever in levers}) == len(rows), "two levers have one label"
    return _floating(chart.title, rows, lambda low, high: f"{chart.format(low)} … {chart.format(high)}", chart.base)


def _floating(
    title: str,
    rows: Sequence[tuple[str, float, float, str]],
    value: Callable[[float, float], str],
    base: float | None = None,
) -> str:
    ends = [end for _, low, high, _ in rows for end in (low, high)] + ([base] if base is not None else [])
    low, span = min(ends), (max(ends) - min(ends)) or 1.0
    drawn = [
        (label, value(start, end), [((min(start, end) - low) / span, abs(end - start) / span, kind, label)])
        for label, start, end, kind in rows
    ]
    return _rows(title, drawn, None if base is None else (base - low) / span)


def _svg(kind: str, height: float, title: str, body: Iterable[str]) -> str:
    """A picture as wide as its place, with a name for a screen reader."""
    return f'<svg class="{kind}" height="{height:.0f}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'


def _stretched(top: float, height: float, body: Iterable[str]) -> str:
    """What is stretched to the picture's width: x from 0 to ACROSS."""
    box = f'viewBox="0 0 {ACROSS:g} {height:g}" preserveAspectRatio="none"'
    return f'<svg y="{top:g}" width="100%" height="{height:g}" {box}>{"".join(body)}</svg>'


def _text(x: float, y: float, what: str, anchor: str = "start", shift: float = 0) -> str:
    """Text at a share of the width and a height in pixels."""
    return f'<text x="{100 * x:.2f}%" dx="{shift:g}" y="{y:.1f}" text-anchor="{anchor}">{escape(what)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<line x1="{100 * x1:.2f}%" y1="{y1:.1f}" x2="{100 * x2:.2f}%" y2="{y2:.1f}" class="{kind}"/>'


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Round numbers along an axis: 1, 2 or 5 times a power of ten apart, or powers of ten."""
    if log:
        powers = range(math.floor(low), math.ceil(high) + 1)
        return [float(p) for p in powers if low <= p <= high] or [low, high]
    rough = (high - low) / 5 or 1.0
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def lines(chart: LineChart) -> tuple[str, list[tuple[str, str]]]:
    """Lines with their bands, and the legend."""
    xs = [x for one in chart.lines for x, *_ in (*one.points, *one.band)] + [x for x, _ in chart.marks]
    ys = [y for one in chart.lines for y in (*(p[1] for p in one.points), *(v for b in one.band for v in b[1:]))]
    ys = [y for y in ys if math.isfinite(y) and (y > 0 or not chart.log_y)]
    xs = [x for x in xs if x > 0 or not chart.log_x]
    if not xs or not ys:
        return "", []

    def along(value: float, log: bool) -> float:
        return math.log10(max(value, 1e-300)) if log else value

    x_low, x_high = (along(end(xs), chart.log_x) for end in (min, max))
    y_low, y_high = (along(end(ys), chart.log_y) for end in (min, max))
    if not chart.log_y and 0 < y_low < 0.6 * y_high:
        y_low = 0.0
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0

    def px(x: float) -> float:
        """0 to 1 across the plot."""
        return (along(x, chart.log_x) - x_low) / x_span

    def py(y: float) -> float:
        """Pixels below the plot's top."""
        at = min(max(along(y, chart.log_y), y_low), y_high)
        return PLOT - (at - y_low) / y_span * PLOT

    def points(values: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{ACROSS * px(x):.1f},{py(y):.1f}" for x, y in values)

    out, stretched, bottom = [], [], TOP + PLOT
    for tick in ticks(y_low, y_high, chart.log_y):
        y = TOP + py(10**tick if chart.log_y else tick)
        out += [_line(0, y, 1, y), _text(0, y + 4, chart.format(10**tick if chart.log_y else tick), "end", -8)]
    along_x = ticks(x_low, x_high, chart.log_x)
    for tick in along_x[:: max(1, math.ceil(len(along_x) / 7))]:  # no more than a phone has room for
        value = 10**tick if chart.log_x else tick
        out.append(_text(px(value), bottom + 18, chart.format_x(value), "middle"))
    out.append(_text(1, bottom + 34, chart.x_title, "end"))
    for x, label in chart.marks:
        at = px(x)
        out.append(_line(at, TOP, at, bottom, "level"))
        out.append(_text(at, TOP - 8, label, "end", -4) if at > 0.5 else _text(at, TOP - 8, label, "start", 4))
    for index, one in enumerate(chart.lines):
        kind = f"c{index % TONES}"
        if one.band:
            edge = [(x, high) for x, _, high in one.band] + [(x, low) for x, low, _ in reversed(one.band)]
            stretched.append(f'<polygon points="{points(edge)}" class="band {kind}"/>')
        if not one.dots:
            stretched.append(f'<polyline points="{points(one.points)}" class="{kind}"/>')
    dots = [
        f'<circle cx="{100 * px(x):.2f}%" cy="{TOP + py(y):.1f}" r="4" class="c{index % TONES}"/>'
        for index, one in enumerate(chart.lines)
        for x, y in (one.points if one.dots else ())
    ]
    legend = [(one.name, f"c{i % TONES}") for i, one in enumerate(chart.lines)]
    return _svg("chart", bottom + BOTTOM, chart.title, [*out, _stretched(TOP, PLOT, stretched), *dots]), legend


def timeline(chart: Timeline) -> tuple[str, list[tuple[str, str]]]:
    """A lane a row, what it does when."""
    spans = [span for _, lane in chart.lanes for span in lane]
    kinds = list(dict.fromkeys(span.kind for span in spans))
    end = max((span.end for span in spans), default=1.0) or 1.0
    names, drawn = [], []
    for row, (label, lane) in enumerate(chart.lanes):
        names.append(_text(0, row * LANE + 13, label, "end", -6))
        drawn += [
            f'<rect x="{ACROSS * span.start / end:.2f}" y="{row * LANE + 1}" '
            f'width="{max(0.0, ACROSS * (span.end - span.start) / end):.2f}" height="{LANE - 3}" '
            f'class="c{kinds.index(span.kind) % TONES}"/>'
            for span in lane
        ]
    height = len(chart.lanes) * LANE
    picture = _svg("chart", height, chart.title, [*names, _stretched(0, max(1, height), drawn)])
    return picture, [(kind, f"c{i % TONES}") for i, kind in enumerate(kinds)]


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names beside their colours."""
    items = "".join(f'<li><span class="key {kind}"></span>{escape(name)}</li>' for name, kind in entries)
    return f'<ul class="legend">{items}</ul>' if entries else ""
