"""Charts of a plan as SVG; colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from centime.plan.sections import BarChart, LineChart, StackedBars, Timeline, Tornado, Waterfall

WIDTH, ROW, LABEL, VALUE = 720, 30, 190, 90  # a chart's units; the page scales it
TONES = 12  # colours of the style sheet, c0 to c11; further parts begin again
HEIGHT, LEFT, BOTTOM, TOP = 300, 70, 40, 26  # of a line chart


def svg(height: float, title: str, body: Iterable[str]) -> str:
    """An SVG element with a name for a screen reader."""
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'


def text(x: float, y: float, what: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(what)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> str:
    said = f"<title>{escape(hint)}</title>" if hint else ""
    size = f'width="{max(0.0, width):.1f}" height="{height:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} class="{kind}">{said}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bars(chart: BarChart) -> str:
    """A horizontal bar a label, its value at its end."""
    most = max((abs(value) for _, value in chart.bars), default=0.0) or 1.0
    out = []
    for row, (label, value) in enumerate(chart.bars):
        y, wide = row * ROW, abs(value) / most * (WIDTH - LABEL - VALUE)
        out += [
            text(LABEL - 8, y + 20, label, "end"),
            rect(LABEL, y + 5, wide, ROW - 10, "c0", label),
            text(LABEL + wide + 6, y + 20, chart.format(value)),
        ]
    return svg(len(chart.bars) * ROW, chart.title, out)


def stacked(chart: StackedBars) -> tuple[str, list[tuple[str, str]]]:
    """Bars of parts side by side, and the legend as (part, class)."""
    parts = list(dict.fromkeys(name for _, values in chart.bars for name in values))
    most = max((sum(values.values()) for _, values in chart.bars), default=0.0) or 1.0
    out = []
    for row, (label, values) in enumerate(chart.bars):
        y, x = row * ROW, float(LABEL)
        out.append(text(LABEL - 8, y + 20, label, "end"))
        for name, value in values.items():
            wide = value / most * (WIDTH - LABEL - VALUE)
            kind = f"c{parts.index(name) % TONES}"
            out.append(rect(x, y + 4, wide, ROW - 8, kind, f"{name}: {chart.format(value)} {chart.unit}"))
            x += wide
        out.append(text(x + 6, y + 20, f"{chart.format(sum(values.values()))} {chart.unit}"))
    legend = [(name, f"c{index % TONES}") for index, name in enumerate(parts)]
    return svg(len(chart.bars) * ROW, chart.title, out), legend


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
    ends = {lever.label: (lever.low, lever.high) for lever in levers}

    def value(low: float, high: float) -> str:
        return f"{chart.format(low)} … {chart.format(high)}"

    assert len(ends) == len(rows), "two levers have one label"
    return _floating(chart.title, rows, value, chart.base)


def _floating(title: str, rows, value, base: float | None = None) -> str:  # type: ignore[no-untyped-def]
    ends = [end for _, low, high, _ in rows for end in (low, high)] + ([base] if base is not None else [])
    low, high = min(ends), max(ends)
    scale = (WIDTH - LABEL - 2 * VALUE) / ((high - low) or 1.0)
    out = []
    for row, (label, start, end, kind) in enumerate(rows):
        y, left, right = row * ROW, min(start, end), max(start, end)
        out += [
            text(LABEL - 8, y + 20, label, "end"),
            rect(LABEL + (left - low) * scale, y + 5, max(1.5, (right - left) * scale), ROW - 10, kind, label),
            text(LABEL + (right - low) * scale + 6, y + 20, value(start, end)),
        ]
    if base is not None:
        x = LABEL + (base - low) * scale
        out.append(line(x, 0, x, len(rows) * ROW, "level"))
    return svg(len(rows) * ROW, title, out)


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
        return LEFT + (along(x, chart.log_x) - x_low) / x_span * (WIDTH - LEFT - 20)

    def py(y: float) -> float:
        at = min(max(along(y, chart.log_y), y_low), y_high)
        return HEIGHT - BOTTOM - (at - y_low) / y_span * (HEIGHT - TOP - BOTTOM)

    out = []
    for tick in ticks(y_low, y_high, chart.log_y):
        value = 10**tick if chart.log_y else tick
        out += [line(LEFT, py(value), WIDTH - 20, py(value)), text(LEFT - 8, py(value) + 4, chart.format(value), "end")]
    for tick in ticks(x_low, x_high, chart.log_x):
        value = 10**tick if chart.log_x else tick
        out.append(text(px(value), HEIGHT - BOTTOM + 18, chart.format_x(value), "middle"))
    out.append(text(WIDTH - 20, HEIGHT - 6, chart.x_title, "end"))
    for x, label in chart.marks:
        out += [line(px(x), TOP, px(x), HEIGHT - BOTTOM, "level"), text(px(x) + 4, TOP - 8, label)]
    for index, one in enumerate(chart.lines):
        kind = f"c{index % TONES}"
        if one.band:
            edge = [(px(x), py(high)) for x, _, high in one.band] + [
                (px(x), py(low)) for x, low, _ in reversed(one.band)
            ]
            out.append(f'<polygon points="{_points(edge)}" class="band {kind}"/>')
        if one.dots:
            out += [f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="4" class="{kind}"/>' for x, y in one.points]
        else:
            out.append(f'<polyline points="{_points((px(x), py(y)) for x, y in one.points)}" class="{kind}"/>')
    return svg(HEIGHT, chart.title, out), [(one.name, f"c{i % TONES}") for i, one in enumerate(chart.lines)]


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def timeline(chart: Timeline) -> tuple[str, list[tuple[str, str]]]:
    """A lane a row, what it does when."""
    spans = [span for _, lane in chart.lanes for span in lane]
    kinds = list(dict.fromkeys(span.kind for span in spans))
    end = max((span.end for span in spans), default=1.0) or 1.0
    scale, high = (WIDTH - 80) / end, 18
    out = []
    for row, (label, lane) in enumerate(chart.lanes):
        out.append(text(72, row * high + 13, label, "end"))
        out += [_span(span.start, span.end, row * high, scale, f"c{kinds.index(span.kind) % TONES}") for span in lane]
    return svg(len(chart.lanes) * high, chart.title, out), [(kind, f"c{i % TONES}") for i, kind in enumerate(kinds)]


def _span(start: float, end: float, y: float, scale: float, kind: str) -> str:
    return rect(78 + start * scale, y + 1, (end - start) * scale, 15, kind)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names beside their colours."""
    items = "".join(f'<li><span class="key {kind}"></span>{escape(name)}</li>' for name, kind in entries)
    return f'<ul class="legend">{items}</ul>' if entries else ""
