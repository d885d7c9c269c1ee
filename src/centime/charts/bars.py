"""Bars: rows of text with a bar under each, so that a name of any length has its place on any screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from centime.charts.kinds import BarChart, Intervals, StackedBars, Tornado, Waterfall
from centime.charts.picture import legend, tone
from centime.charts.scale import Scale, scale_of
from centime.charts.svg import element, joined, percent, rule
from centime.charts.tables import signed, with_interval

HEIGHT = 14  # pixels of a bar
TOTAL = 7  # of the palette: neither that of a cause that adds nor of one that takes away
LEAST = 0.002  # of the width, for a bar that would not be seen

Part = tuple[float, float, str, str]  # start and width, shares of the row; class; what a pointer over it reads


class Row(NamedTuple):
    """A label, the value as text, the parts of the bar, and from where to where its whisker reaches, in shares."""

    label: str
    value: str
    parts: Sequence[Part]
    whisker: tuple[float, float] | None = None


def _rows(title: str, rows: Iterable[Row], level: float | None = None) -> Markup:
    """The rows and their words for a screen reader; `level`: a line across all."""
    out, said = [], []
    for label, value, parts, whisker in rows:
        bar = [
            element(
                "rect",
                element("title", hint),
                x=percent(start),
                width=percent(max(width, LEAST)),
                height=HEIGHT,
                class_=f"part {kind}",
            )
            for start, width, kind, hint in parts
        ]
        if level is not None:
            bar.append(element("line", x1=percent(level), x2=percent(level), y1=-3, y2=HEIGHT + 3, class_="level"))
        if whisker is not None:
            bar += [*_whisker(whisker, "halo"), *_whisker(whisker, "whisker")]
        out.append(element("div", element("span", label), element("span", value), class_="named"))
        out.append(element("svg", *bar, class_="bar", width="100%", height=HEIGHT))
        said.append(f"{label} {value}")
    return element("div", *out, class_="bars", role="img", aria_label=f"{title}: {'; '.join(said)}")


def _whisker(ends: tuple[float, float], kind: str) -> list[Markup]:
    """A line through the bar's middle from end to end, and a stroke across each."""
    low, high = ends
    across = [rule(kind, (end, end), (2, HEIGHT - 2)) for end in ends]
    return [rule(kind, (low, high), (HEIGHT / 2, HEIGHT / 2)), *across]


def draw_bars(chart: BarChart) -> Markup:
    """A horizontal bar a label, its value beside it; negative ones to the left of zero."""
    rows = [(label, 0.0, value, tone(0)) for label, value in chart.bars]
    return _floating(chart.title, rows, lambda _, value: chart.format(value), chart.intervals)


def draw_stacked(chart: StackedBars) -> Markup:
    """Bars of parts side by side, their names below, and with a single bar their values too."""
    names = list(dict.fromkeys(name for _, values in chart.bars for name in values))
    ends = [sum(values.values()) for _, values in chart.bars] + [high for _, high in chart.intervals.values()]
    most = max(ends, default=0.0) or 1.0
    rows = []
    for label, values in chart.bars:
        at, drawn = 0.0, []
        for name, value in values.items():
            hint = f"{name}: {_with_unit(chart, value)}"
            drawn.append((at / most, value / most, tone(names.index(name)), hint))
            at += value
        low, high = chart.intervals.get(label, (0.0, 0.0))
        text = with_interval(_with_unit(chart, at), label, chart.intervals, chart.format)
        rows.append(Row(label, text, drawn, (low / most, high / most) if label in chart.intervals else None))
    only = chart.bars[0][1] if len(chart.bars) == 1 else {}
    keys = [(name, tone(i), chart.format(only[name]) if only else "") for i, name in enumerate(names)]
    return joined(_rows(chart.title, rows), legend(keys))


def _with_unit(chart: StackedBars, value: float) -> str:
    """The value and its unit; money has its currency already."""
    text = chart.format(value)
    return text if any(sign in text for sign in "$€£¥") else f"{text} {chart.unit}"


def draw_waterfall(chart: Waterfall) -> Markup:
    """From the first total to the last, a floating bar a cause."""
    rows: list[tuple[str, float, float, str]] = [(chart.start[0], 0.0, chart.start[1], tone(TOTAL))]
    at = chart.start[1]
    for label, step in chart.steps:
        rows.append((label, at, at + step, "up" if step > 0 else "down"))
        at += step
    rows.append((chart.end[0], 0.0, chart.end[1], tone(TOTAL)))

    def value(low: float, high: float) -> str:
        return chart.format(high) if low == 0 else signed(chart.format(high - low), high - low)

    return _floating(chart.title, rows, value, chart.intervals)


def draw_tornado(chart: Tornado) -> Markup:
    """Levers around the base, widest first."""
    rows = [(lever.label, lever.low, lever.high, tone(0)) for lever in chart.widest_first]
    return _floating(chart.title, rows, lambda low, high: f"{chart.format(low)} … {chart.format(high)}", {}, chart.base)


def _floating(
    title: str,
    rows: Sequence[tuple[str, float, float, str]],
    value: Callable[[float, float], str],
    intervals: Intervals,
    base: float | None = None,
) -> Markup:
    """Bars (label, from, to, class) along one axis that shows them all; `base`: where a line crosses them."""
    ends = [end for _, *both, _ in rows for end in both] + ([] if base is None else [base])
    axis = scale_of([*ends, *(end for both in intervals.values() for end in both)]) or Scale(0.0, 1.0)
    drawn = []
    for label, start, end, kind in rows:
        left, right = sorted((axis.share(start), axis.share(end)))
        low, high = intervals.get(label, (start, start))
        drawn.append(
            Row(
                label,
                with_interval(value(start, end), label, intervals, lambda end: value(0.0, end)),
                [(left, right - left, kind, label)],
                (axis.share(low), axis.share(high)) if label in intervals else None,
            )
        )
    return _rows(title, drawn, None if base is None else axis.share(base))
