"""What a plan shows, without saying how: the terminal prints it as tables, the page (plan/show/page.py) draws it.

Every plan offers `sections(lang) -> list[Section]`: its figures and notes, and the charts and tables of
charts/kinds.py. Texts are in the language asked for (plan/show/language.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from centime.charts.kinds import (
    BarChart,
    Chart,
    Format,
    Lever,
    Line,
    LineChart,
    Span,
    StackedBars,
    Table,
    Timeline,
    Tornado,
    Waterfall,
    plain,
)


class Figure(NamedTuple):
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
class Notes:
    """Sentences in a list: assumptions, sources, what was left out. commands: each line is 'what: command'."""

    title: str
    lines: Sequence[str]
    commands: bool = False


Section = Figures | Table | Chart | Notes

__all__ = [
    "BarChart",
    "Chart",
    "Figure",
    "Figures",
    "Format",
    "Lever",
    "Line",
    "LineChart",
    "Notes",
    "Section",
    "Span",
    "StackedBars",
    "Table",
    "Timeline",
    "Tornado",
    "Waterfall",
    "plain",
]
