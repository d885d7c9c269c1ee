"""Where bars, lanes and lines begin and end, by their numbers."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest

from centime.charts.bars import HEIGHT, LEAST
from centime.charts.draw import chart_file, draw_chart
from centime.charts.kinds import (
    BarChart,
    Chart,
    Lever,
    Line,
    LineChart,
    Span,
    StackedBars,
    Timeline,
    Tornado,
    Waterfall,
)
from centime.charts.lanes import LANE
from centime.charts.lines import MARGIN, MOST_POINTS, PLOT, bucketed, thinned
from centime.charts.picture import ACROSS, AXIS, LETTER, ROW, TONES, axis_below, boundaries, folded, tone
from centime.charts.scale import Scale, scale_of, tick_labels


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{draw_chart(chart)}</div>")


def bars(chart: Chart) -> list[tuple[str, str, list[tuple[float, float, str]]]]:
    """(label, value, parts (start, width in percent, class)) of each row."""
    found = []
    holder = next(one for one in drawn(chart).iter() if one.get("class") == "bars")
    for named, bar in zip(list(holder)[::2], list(holder)[1::2], strict=True):
        label, value = ("".join(span.itertext()) for span in named)
        assert bar.get("height") == str(HEIGHT)
        parts = [
            (
                float((one.get("x") or "").rstrip("%")),
                float((one.get("width") or "").rstrip("%")),
                (one.get("class") or "").removeprefix("part "),
            )
            for one in bar
            if one.tag == "rect"
        ]
        found.append((label, value, parts))
    return found


def test_bars_begin_at_zero_and_negative_ones_lie_left_of_it() -> None:
    up, down = bars(BarChart("T", "s", [("up", 1.0), ("down", -3.0)]))
    assert up == ("up", "1", [(75, 25, "c0")])
    assert down == ("down", "-3", [(0, 75, "c0")])
    (_, _, parts), _ = bars(BarChart("T", "s", [("none", 0.0), ("much", 1e9)]))
    assert parts == [(0, 100 * LEAST, "c0")]


def test_parts_stand_side_by_side_in_the_colour_of_their_name() -> None:
    step, other = bars(StackedBars("T", "s", [("step", {"compute": 3.0, "bubble": 1.0}), ("other", {"bubble": 2.0})]))
    assert step == ("step", "4 s", [(0, 75, "c0"), (75, 25, "c1")])
    assert other == ("other", "2 s", [(0, 50, "c1")])
    one = StackedBars("T", "USD", [("all", {"a": 1.0, "b": 2.0})], format=lambda v: f"${v:.0f}")
    assert bars(one)[0][1] == "$3"  # money has its currency already
    assert [li.findtext("b") for li in drawn(one).iter("li")] == ["$1", "$2"]
    assert [li.findtext("b") for li in drawn(StackedBars("T", "s", [("a", {"x": 1.0}), ("b", {})])).iter("li")] == [
        None
    ]


def test_a_waterfall_falls_from_where_it_stands() -> None:
    found = bars(Waterfall("T", "USD", ("A", 5.0), [("chip", 5.0), ("price", -4.0)], ("B", 6.0)))
    assert found == [
        ("A", "5", [(0, 50, "c7")]),
        ("chip", "+5", [(50, 50, "up")]),
        ("price", "-4", [(60, 40, "down")]),
        ("B", "6", [(0, 60, "c7")]),
    ]


def whiskers(chart: Chart) -> list[list[tuple[str | None, str | None]]]:
    """(from, to) of the lines of each row's whisker: its length, then a stroke across either end."""
    holder = next(one for one in drawn(chart).iter() if one.get("class") == "bars")
    return [
        [(one.get("x1"), one.get("x2")) for one in bar.iter("line") if one.get("class") == "whisker"]
        for bar in list(holder)[1::2]
    ]


def test_a_figure_with_an_interval_has_a_whisker_and_its_ends_in_words() -> None:
    chart = BarChart("T", "s", [("one", 1.0), ("two", 3.0)], intervals={"two": (2.0, 4.0)})
    assert bars(chart) == [("one", "1", [(0, 25, "c0")]), ("two", "3 (2 – 4)", [(0, 75, "c0")])]
    assert whiskers(chart) == [[], [("50%", "100%"), ("50%", "50%"), ("100%", "100%")]]
    parts = StackedBars("T", "s", [("step", {"a": 1.0, "b": 1.0})], intervals={"step": (1.0, 4.0)})
    assert bars(parts) == [("step", "2 s (1 – 4)", [(0, 25, "c0"), (25, 25, "c1")])]
    assert whiskers(parts) == [[("25%", "100%"), ("25%", "25%"), ("100%", "100%")]]
    fall = Waterfall("T", "USD", ("A", 5.0), [("price", -1.0)], ("B", 4.0), intervals={"A": (3.0, 10.0), "B": (2, 6)})
    assert [value for _, value, _ in bars(fall)] == ["5 (3 – 10)", "-1", "4 (2 – 6)"]
    assert [each[:1] for each in whiskers(fall)] == [[("30%", "100%")], [], [("20%", "60%")]]


def test_a_tornados_levers_reach_to_both_sides_of_its_base() -> None:
    chart = Tornado("T", "USD", 1.0, [Lever("load", 0.5, 1.5), Lever("price", -1.0, 3.0)])
    price, load = bars(chart)
    assert price == ("price", "-1 … 3", [(0, 100, "c0")])
    assert load == ("load", "0.5 … 1.5", [(37.5, 25, "c0")])
    levels = list(drawn(chart).iter("line"))
    assert {one.get("x1") for one in levels} == {one.get("x2") for one in levels} == {"50%"}
    assert len(levels) == 2


def test_lanes_hold_what_was_done_when() -> None:
    chart = Timeline("T", "s", [("0", [Span(0, 1, "F"), Span(1, 4, "B")]), ("1", [Span(2, 3, "F")])])
    root = drawn(chart)
    paths = [(one.get("class"), one.get("d")) for one in root.iter("path")]
    tall = LANE - 3
    assert paths == [
        ("part c0", f"M0 1H250v{tall}H0z"),
        ("part c1", f"M250 1H1000v{tall}H250z"),
        ("part c0", f"M500 {LANE + 1}H750v{tall}H500z"),
    ]
    picture = next(one for one in root.iter() if one.get("role") == "img")
    assert picture.get("height") == str(2 * LANE + AXIS)
    assert picture.findtext("desc") == "F, B; 4 s"
    assert [("".join(li.itertext())) for li in root.iter("li")] == ["F", "B"]
    assert "".join(next(one for one in root.iter("span") if one.get("class") == "room").itertext()) == "0"
    assert drawn(Timeline("T", "s", [])).find(".//path") is None


def test_a_line_goes_through_its_points() -> None:
    chart = LineChart("T", "u", "x", [Line("a", [(0, 0.0), (1, 5.0), (2, 10.0)], [(0, 0.0, 5.0), (2, 5.0, 10.0)])])
    root = drawn(chart)
    (line,), (band,) = list(root.iter("polyline")), list(root.iter("polygon"))
    beyond = 10 * 2 * MARGIN / 2

    def y(value: float) -> float:
        return PLOT * (1 - value / (10 + beyond))

    def points(of: ElementTree.Element) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", of.get("points") or "")]

    assert points(line) == [(x, pytest.approx(y(v), abs=0.1)) for x, v in ((0, 0), (ACROSS / 2, 5), (ACROSS, 10))]
    edge = ((0, 5), (ACROSS, 10), (ACROSS, 5), (0, 0))
    assert points(band) == [(x, pytest.approx(y(v), abs=0.1)) for x, v in edge]


def test_dots_have_whiskers_and_no_line() -> None:
    root = drawn(LineChart("T", "u", "x", [Line("a", [(0, 1.0), (1, 2.0)], [(0, 0.5, 1.5), (1, 1.5, 2.5)], dots=True)]))
    assert len(list(root.iter("circle"))) == 2
    assert list(root.iter("polyline")) == []
    whiskers = [one for one in root.iter("line") if (one.get("class") or "").startswith("whisker")]
    assert [(one.get("x1"), one.get("x2")) for one in whiskers] == [("0%", "0%"), ("100%", "100%")]
    assert all(float(one.get("y1") or 0) > float(one.get("y2") or 0) for one in whiskers)


def test_a_description_says_where_a_line_begins_and_ends() -> None:
    root = drawn(
        LineChart("T", "u", "x", [Line("a", [(0, 3.0), (1, 1.0), (2, 9.0), (3, 4.0)]), Line("f", [(0, 1)], faint=True)])
    )
    assert root.find(".//desc").text == "u against x: a from 3 to 4, lowest 1, highest 9"  # type: ignore[union-attr]


def test_only_a_line_of_more_points_than_can_be_told_apart_is_thinned() -> None:
    whole = Line("a", [(x, x % 7) for x in range(MOST_POINTS)], tone=3, faint=True)
    assert thinned(whole) is whole
    longer = Line("a", [(x, x % 7) for x in range(4 * MOST_POINTS)], tone=3, faint=True)
    made = thinned(longer)
    assert (len(made.points), made.tone, made.faint) == (MOST_POINTS, 3, True)
    assert made.points[0] == (1.5, 1.5)
    assert made.band[0] == (1.5, 0, 3)
    many = Line("a", longer.points, dots=True)
    assert thinned(many) is many


def test_buckets_are_of_nearly_equal_length_and_stand_in_their_middle() -> None:
    found = bucketed([(x, 1.0) for x in range(10)], 4)
    assert [x for x, *_ in found] == [0.5, 3.0, 5.5, 8.0]
    assert bucketed([], 4) == []


def test_colours_begin_again_after_the_last() -> None:
    assert [tone(at) for at in (0, TONES - 1, TONES, TONES + 1)] == ["c0", f"c{TONES - 1}", "c0", "c1"]


def test_names_of_boundaries_stand_in_rows_of_their_own_where_they_would_lie_over_each_other() -> None:
    alone, begins = boundaries([(0.1, "a")], 6, 200)
    assert begins == 6 + ROW
    assert len(alone) == 2
    _, apart = boundaries([(0.1, "a"), (0.9, "b")], 6, 200)
    assert apart == begins
    _, over = boundaries([(0.1, "a name"), (0.12, "another")], 6, 200)
    assert over == 6 + 2 * ROW
    assert boundaries([], 6, 200) == ([], 6)
    (line, name), _ = boundaries([(0.75, "late")], 6, 200)
    assert 'text-anchor="end"' in name
    assert f'y1="{begins - 2}"' in line
    assert f'y2="{begins + 200}"' in line


def test_a_name_is_folded_to_the_room_that_it_has() -> None:
    assert folded("a name of several words", 1.0) == ["a name of several words"]
    assert all(len(line) <= 14 for line in folded("a name of several words", 0.5))
    assert folded("a name of several words", 0.01) == folded("a name of several words", 0.42)  # twelve letters at least


def test_labels_that_have_no_room_leave_evenly() -> None:
    scale = Scale(0.0, 5.0)

    def kept(labels: list[str]) -> list[tuple[str, bool]]:  # whether it is left out on a phone
        texts = [str(one) for one in axis_below(scale, labels, "x", (0, 10))]
        return [(label, "spare" in one) for label in labels for one in texts if f">{label}<" in one]

    assert kept([str(i) for i in range(6)]) == [(str(i), False) for i in range(6)]
    usual = kept([f"label {i}" for i in range(6)])
    assert [label for label, _ in usual] == [f"label {i}" for i in range(6)]
    assert [spare for _, spare in usual] == [False, True, False, True, False, True]
    assert len(kept([f"{i}" * 11 for i in range(6)])) == 3  # 77 pixels of the 84 between ticks, and eight are kept free
    scale = Scale(0.0, 4.0)
    assert 6 * LETTER + 8 == 200 / 4
    assert kept(["zeroth", "first1", "second", "third3", ""]) == [
        (name, False) for name in ("zeroth", "first1", "second", "third3")
    ]
    assert [spare for _, spare in kept(["zeroth", "first1!", "second", "third3", ""])] == [False, True, False, True]


def test_logarithmic_ticks_have_two_and_five_between_them_where_there_are_few() -> None:
    assert Scale(1, 100, log=True).ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert Scale(1, 1000, log=True).ticks() == [1, 10, 100, 1000]
    assert Scale(1, 1e16, log=True).ticks() == [1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12, 1e14, 1e16]
    assert Scale(3, 40, log=True).ticks() == [5, 10, 20]
    assert Scale(30, 44, log=True).ticks() == Scale(30, 44).ticks()
    assert Scale(0, 10).ticks() == [0, 2, 4, 6, 8, 10]


def test_a_single_value_stands_in_the_middle_of_a_logarithmic_axis() -> None:
    assert scale_of([8.0], log=True) == Scale(4.0, 16.0, log=True)
    found = scale_of([10.0, 1000.0], log=True, margin=0.5)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(10_000.0))


def test_an_axis_as_long_as_floats_reach_has_a_middle() -> None:
    most = sys.float_info.max
    axis = Scale(-most, most)
    assert [axis.share(value) for value in (-most, -most / 2, 0.0, most / 2, most)] == [0, 0.25, 0.5, 0.75, 1]


def test_ticks_that_no_number_of_digits_tells_apart_are_written_in_full() -> None:
    def digits(value: float, count: int) -> str:
        return f"{value:.{count}g}" if count == 9 else "about one"

    assert tick_labels([1.25, 1.5], str, digits) == ["1.25", "1.5"]
    assert tick_labels([1.25, 1.5], str, lambda value, count=3: f"{value:.{count}g}") == ["1.25", "1.5"]
    assert tick_labels([1.0, 2.0], str, lambda value, count=3: f"{value:.{count}g}") == ["1", "2"]


def test_a_files_legend_stands_in_rows_above_its_plot() -> None:
    lines = [Line(name, [(0, 1.0), (1, 2.0)]) for name in ("a", "b", "c")]
    root = ElementTree.fromstring(chart_file(LineChart("T", "u", "x", lines)))
    name = "{http://www.w3.org/2000/svg}"
    keys = [one for one in root.iter(f"{name}rect") if (one.get("class") or "").startswith("part")]
    assert [float(one.get("y") or 0) for one in keys] == [34, 52, 70]
    texts = [one for one in root.findall(f"{name}text") if one.text in ("a", "b", "c")]
    assert [float(one.get("y") or 0) - float(key.get("y") or 0) for one, key in zip(texts, keys, strict=True)] == [
        10
    ] * 3
    (inner,) = (one for one in root.findall(f"{name}svg") if one.get("overflow") == "visible")
    top, height = float(inner.get("y") or 0), float(inner.get("height") or 0)
    assert top == 36 + 3 * 18
    assert float(root.get("height") or 0) == top + height + 8
    left = float(inner.get("x") or 0)
    assert {float(one.get("x") or 0) for one in keys} == {left}
    assert float(inner.get("width") or 0) == 760 - left - 16
