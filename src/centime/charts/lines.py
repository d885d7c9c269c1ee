"""Lines over axes, with their bands, dots and whiskers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from centime.charts.kinds import Line, LineChart
from centime.charts.picture import (
    ACROSS,
    AXIS,
    MOST_TICKS,
    ROW,
    Picture,
    axis_below,
    boundaries,
    folded,
    stretched,
    tone,
)
from centime.charts.scale import Scale, scale_of, tick_labels
from centime.charts.svg import element, joined, percent, rule, short, text

PLOT = 200  # pixels: the height of the plot
MOST_POINTS = 280  # of a line; a longer one is drawn as bucket means inside a band from minimum to maximum
MARGIN = 0.04  # of the axis beyond the values, above and below

Say = Callable[..., str]
Point = tuple[float, float]


def draw_lines(chart: LineChart, say: Say) -> Picture | None:
    """The picture; None where no value can be drawn. `say` is the reader's language (draw.draw_chart)."""
    lines = [thinned(one) for one in chart.lines]
    x_values = [x for one in lines for x, *_ in (*one.points, *one.band)] + [x for x, _ in chart.marks]
    y_values = [y for one in lines for y in (*(y for _, y in one.points), *(y for b in one.band for y in b[1:]))]
    level = [chart.level[0]] if chart.level else []
    across = scale_of([*x_values, *(chart.span or ())], log=chart.log_x)
    up = scale_of([*y_values, *level], log=chart.log_y, from_zero=chart.from_zero, margin=MARGIN)
    if across is None or up is None or not any(map(up.holds, y_values)):
        return None
    titles = folded(chart.unit + (f", {say('logarithmic')}" if up.log else ""))
    shown = [(at, label) for x, label in chart.marks for at in [across.share(x)] if across.holds(x)]
    marks, top = boundaries(shown, ROW * len(titles) + 6, PLOT)
    plot = _Plot(across, up, top)
    ticks = up.ticks()
    labels = tick_labels(ticks, chart.format, chart.digits_y)
    body = [text(line, 0, ROW * (i + 1) - 3, kind="quantity") for i, line in enumerate(titles)]
    for tick, label in zip(ticks, labels, strict=True):
        y = plot.y(tick)
        body += [rule("grid", (0, 1), (y, y)), text(label, 0, y + 4, kind="tick", anchor="end", shift=-8)]
    counts = chart.x_title + (f", {say('logarithmic')}" if across.log else "")
    along = tick_labels(across.ticks(MOST_TICKS), chart.format_x, chart.digits_x)
    body += [*axis_below(across, along, counts, (top + PLOT, top + PLOT)), *marks]
    if chart.level and up.holds(chart.level[0]):
        y = plot.y(chart.level[0])
        body += [rule("level", (0, 1), (y, y)), text(chart.level[1], 0, y - 5, kind="label", shift=6)]
    missing = sum(len(one.points) - len(plot.held(one.points)) for one in lines)
    drawn = [(one, tone(index if one.tone is None else one.tone)) for index, one in enumerate(lines)]
    body.append(stretched(top, PLOT, (shape for one, kind in drawn for shape in plot.shapes(one, kind))))
    body += [dot for one, kind in drawn for dot in plot.dots(one, kind)]
    return Picture(
        chart.title,
        _described(chart, lines, up, say),
        joined(*body),
        top + PLOT + AXIS,
        max(labels, key=len, default=""),
        [(one.name, kind, "") for one, kind in drawn if one.name] if len({o.name for o in lines if o.name}) > 1 else [],
        [
            [round(across.share(x), 4), round(plot.y(y), 1), kind, f"{chart.format_x(x)} {chart.x_title}", value]
            for one, kind in drawn
            for x, y in plot.held(one.points)
            for value in [f"{one.name}: {chart.format(y)}"]
        ],
        (top, PLOT),
        say("Not shown: {count} values without a place on these axes.", count=missing) if missing else "",
    )


class _Plot:
    """Where values lie in a plot that begins `top` pixels below the picture's upper edge."""

    def __init__(self, across: Scale, up: Scale, top: float) -> None:
        self.across, self.up, self.top = across, up, top

    def y(self, value: float) -> float:
        """Pixels below the picture's upper edge."""
        return self.top + PLOT * (1 - self.up.share(value))

    def held(self, points: Iterable[Point]) -> list[Point]:
        """Those that the axes have a place for."""
        return [(x, y) for x, y in points if self.across.holds(x) and self.up.holds(y)]

    def _runs(self, points: Iterable[tuple[float, ...]]) -> list[list[tuple[float, ...]]]:
        """What lies between the values that the axes have no place for: a line ends there and begins anew."""
        known = itertools.groupby(points, lambda p: self.across.holds(p[0]) and all(map(self.up.holds, p[1:])))
        return [list(run) for holds, run in known if holds]

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{short(ACROSS * self.across.share(x))},{short(self.y(y) - self.top)}" for x, y in points)

    def shapes(self, one: Line, kind: str) -> list[Markup]:
        """The line in its band, in units of the stretched part."""
        if one.dots:
            return []
        out = []
        for run in self._runs(one.band):
            edge = [(x, high) for x, _, high in run] + [(x, low) for x, low, _ in reversed(run)]
            out.append(element("polygon", points=self._path(edge), class_=f"band {kind}"))
        faint = " faint" if one.faint else ""
        for run in self._runs(one.points):
            if len(run) > 1:
                out.append(element("polyline", points=self._path((x, y) for x, y in run), class_=kind + faint))
        return out

    def dots(self, one: Line, kind: str) -> list[Markup]:
        """The dots of a row of them, with their whiskers, and of what is too short to be a line."""
        points = one.points if one.dots else [run[0] for run in self._runs(one.points) if len(run) == 1]
        held = self.held((x, y) for x, y in points)
        out = []
        for x, low, high in (range_ for run in self._runs(one.band if one.dots else ()) for range_ in run):
            at = self.across.share(x)
            out.append(rule(f"whisker {kind}", (at, at), (self.y(low), self.y(high))))
        return out + [
            element("circle", cx=percent(self.across.share(x)), cy=self.y(y), r=3.5, class_=kind) for x, y in held
        ]


def thinned(one: Line, most: int = MOST_POINTS) -> Line:
    """A line of more points than can be told apart, as means inside a band; any other as it is."""
    if one.dots or len(one.points) <= most:
        return one
    buckets = bucketed(one.points, most)
    points, band = [(x, mean) for x, mean, _, _ in buckets], [(x, low, high) for x, _, low, high in buckets]
    return Line(one.name, points, band, tone=one.tone, faint=one.faint)


def bucketed(points: Sequence[Point], most: int = MOST_POINTS) -> list[tuple[float, float, float, float]]:
    """(x, mean, minimum, maximum) of at most `most` runs of neighbouring points of nearly equal length."""
    count = min(len(points), most)
    edges = [i * len(points) // count for i in range(count + 1)] if count else []
    out = []
    for a, b in itertools.pairwise(edges):
        ys = [y for _, y in points[a:b]]
        out.append((sum(x for x, _ in points[a:b]) / (b - a), sum(ys) / (b - a), min(ys), max(ys)))
    return out


def _described(chart: LineChart, lines: Sequence[Line], up: Scale, say: Say) -> str:
    """The sentence that a screen reader gets: where each line begins and ends, and its extremes."""
    parts = []
    for one in lines:
        ys = [y for _, y in one.points if up.holds(y)]
        if ys and not one.faint:
            ends = {"first": ys[0], "last": ys[-1], "least": min(ys), "most": max(ys)}
            written = {name: chart.format(value) for name, value in ends.items()}
            parts.append(say("{name} from {first} to {last}, lowest {least}, highest {most}", name=one.name, **written))
    return str(say("{unit} against {x}: {lines}", unit=chart.unit, x=chart.x_title, lines="; ".join(parts)))
