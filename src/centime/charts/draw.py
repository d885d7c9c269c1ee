"""A chart as an element of a page, or as a file."""

from __future__ import annotations

from markupsafe import Markup

from centime.charts.bars import draw_bars, draw_stacked, draw_tornado, draw_waterfall
from centime.charts.kinds import BarChart, Chart, LineChart, StackedBars, Timeline, Tornado, Waterfall
from centime.charts.lanes import draw_lanes
from centime.charts.lines import Say, draw_lines


def english(words: str, **values: object) -> str:
    """The words as they are: what `say` is where nobody speaks otherwise."""
    return words.format(**values)


def draw_chart(chart: Chart, say: Say = english, *, script: bool = False) -> Markup:
    """The chart with its legend, without its title, as an element of a page whose style has charts.css; '' where it has
    no value. `say` speaks the reader's language (plan/show/language.py); `script`: the page has hover.js too."""
    match chart:
        case BarChart():
            return draw_bars(chart)
        case StackedBars():
            return draw_stacked(chart)
        case Tornado():
            return draw_tornado(chart)
        case Waterfall():
            return draw_waterfall(chart)
        case Timeline():
            return draw_lanes(chart).on_page()
        case LineChart():
            picture = draw_lines(chart, say)
            return picture.on_page(script=script) if picture else Markup("")


def chart_file(chart: LineChart | Timeline, say: Say = english) -> str:
    """The chart as an SVG file with its title and legend. Raises ValueError where it has no value."""
    picture = draw_lanes(chart) if isinstance(chart, Timeline) else draw_lines(chart, say)
    if picture is None:
        raise ValueError(f"{chart.title!r} has no value to draw")
    return picture.in_file()
