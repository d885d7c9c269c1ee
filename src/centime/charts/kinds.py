"""What a chart says, without saying how: draw.py draws it, tables.py makes the table of its numbers.

Values are numbers in one unit that `unit` names; `format` writes one of them for a person. Texts are in the reader's
language already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Format = Callable[[float], str]
Intervals = Mapping[str, tuple[float, float]]
"""Low and high of the figures that have an interval, by the label of their bar: drawn as a whisker."""


class Digits(Protocol):
    """Writes a value, with its usual digits or with so many significant ones."""

    def __call__(self, value: float, digits: int = ..., /) -> str: ...


def plain(value: float) -> str:
    """Three significant digits: 0.0123, 1.99, 432."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column is read as the row's name. `total`: the last row sums the others."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    total: bool = False


@dataclass(frozen=True)
class BarChart:
    """One bar a label, from zero."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float]]
    format: Format = plain
    note: str = ""
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class StackedBars:
    """One bar a label, of named parts (the same name has the same colour in every bar): a step's breakdown. Intervals
    are of the sums."""

    title: str
    unit: str
    bars: Sequence[tuple[str, Mapping[str, float]]]
    format: Format = plain
    note: str = ""
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One line of a chart, x rising. `band` is (x, low, high): an interval or percentiles. `dots`: points, no line, and
    a whisker at each for its band. `tone`: of the palette, None for that of its place among the lines; `faint`: a thin
    line beside those that matter."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False
    tone: int | None = None
    faint: bool = False


@dataclass(frozen=True)
class LineChart:
    """Lines over x, which is a number that `format_x` writes (months may be counted from the first one).

    `marks` are verticals (x, label), `level` a horizontal one. `log_x` and `log_y` make an axis logarithmic; values at
    or below zero have no place on it, are left out, and the chart says how many. log_y None: where values above zero
    span more than a factor of WIDE. `from_zero`: whether y begins at zero, None where its values reach down towards it.
    `span` of x: so that charts beside each other agree. `digits_x` and `digits_y` write ticks, so that each says its
    value; without them they are written as values are.
    """

    title: str
    unit: str
    x_title: str
    lines: Sequence[Line]
    format: Format = plain
    format_x: Format = plain
    log_x: bool = False
    log_y: bool | None = False
    marks: Sequence[tuple[float, str]] = ()
    note: str = ""
    level: tuple[float, str] | None = None
    from_zero: bool | None = None
    span: tuple[float, float] | None = None
    digits_x: Digits | None = None
    digits_y: Digits | None = None


@dataclass(frozen=True)
class Lever:
    """One bar of a tornado: the result when an input is at its low and at its high end, which the texts name."""

    label: str
    low: float
    high: float
    low_input: str = ""
    high_input: str = ""


@dataclass(frozen=True)
class Tornado:
    """What a result depends on most: levers around `base`, drawn widest first."""

    title: str
    unit: str
    base: float
    levers: Sequence[Lever]
    format: Format = plain
    note: str = ""

    @property
    def widest_first(self) -> list[Lever]:
        """The levers by how far they move the result."""
        return sorted(self.levers, key=lambda lever: -abs(lever.high - lever.low))


@dataclass(frozen=True)
class Waterfall:
    """From one total to another by causes: `start` + the sum of `steps` = `end`; labels name the two totals, which may
    have intervals."""

    title: str
    unit: str
    start: tuple[str, float]
    steps: Sequence[tuple[str, float]]
    end: tuple[str, float]
    format: Format = plain
    note: str = ""
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """A stretch of a lane: from and to in the timeline's unit; `kind` gives the colour and stands in the legend."""

    start: float
    end: float
    kind: str


@dataclass(frozen=True)
class Timeline:
    """What each lane (a pipeline stage) does when."""

    title: str
    unit: str
    lanes: Sequence[tuple[str, Sequence[Span]]]
    format: Format = plain
    note: str = ""

    @property
    def kinds(self) -> list[str]:
        """Of all spans, each once, in the order of their first."""
        return list(dict.fromkeys(span.kind for _, spans in self.lanes for span in spans))


Chart = BarChart | StackedBars | LineChart | Tornado | Waterfall | Timeline
