"""What a plan shows, without saying how: the terminal prints it as tables, the page (plan/show/page.py) draws it.

Every plan offers `sections(lang) -> list[Section]`. Values are numbers in one unit that `unit` names; `format` writes
one of them for a person. Texts are in the language asked for (plan/show/language.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Format = Callable[[float], str]


def plain(value: float) -> str:
    """Three significant digits: 0.0123, 1.99, 432."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Figure:
    """One headline: a label, the figure as text with its unit, and small print (an interval, a date, a share)."""

    label: str
    figure: str
    small: str = ""


@dataclass(frozen=True)
class Figures:
    """The head of a plan: four to eight figures."""

    items: Sequence[Figure]
    title: str = ""


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


@dataclass(frozen=True)
class StackedBars:
    """One bar a label, of named parts (the same name has the same colour in every bar): a step's breakdown."""

    title: str
    unit: str
    bars: Sequence[tuple[str, Mapping[str, float]]]
    format: Format = plain
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a chart, x rising. `band` is (x, low, high): an interval or percentiles. `dots`: points, no line."""

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False


@dataclass(frozen=True)
class LineChart:
    """Lines over x, which is a number that `format_x` writes (months may be counted from the first one).

    `marks` are verticals (x, label); `log_x` and `log_y` make an axis logarithmic (values above zero only).
    """

    title: str
    unit: str
    x_title: str
    lines: Sequence[Line]
    format: Format = plain
    format_x: Format = plain
    log_x: bool = False
    log_y: bool = False
    marks: Sequence[tuple[float, str]] = ()
    note: str = ""


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


@dataclass(frozen=True)
class Waterfall:
    """From one total to another by causes: `start` + the sum of `steps` = `end`; labels name the two totals."""

    title: str
    unit: str
    start: tuple[str, float]
    steps: Sequence[tuple[str, float]]
    end: tuple[str, float]
    format: Format = plain
    note: str = ""


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


@dataclass(frozen=True)
class Notes:
    """Sentences in a list: assumptions, sources, what was left out."""

    title: str
    lines: Sequence[str]


Section = Figures | Table | BarChart | StackedBars | LineChart | Tornado | Waterfall | Timeline | Notes
