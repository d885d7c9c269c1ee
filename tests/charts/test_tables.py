"""The table of a chart's numbers: every number of every kind of chart, where a reader looks for it."""

from __future__ import annotations

import pytest

from centime.charts.kinds import (
    BarChart,
    Chart,
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
from centime.charts.tables import MOST_ROWS, as_table, signed

FILLED: list[tuple[Chart, list[str], list[list[str]], bool]] = [
    (BarChart("T", "s", [("one", 1.0), ("two", -2.0)], note="N"), ["", "s"], [["one", "1"], ["two", "-2"]], False),
    (
        StackedBars("T", "s", [("step", {"compute": 3.0, "bubble": 1.0}), ("other", {"bubble": 2.0})], note="N"),
        ["", "step", "other"],
        [["compute", "3", "–"], ["bubble", "1", "2"], ["s", "4", "2"]],
        True,
    ),
    (
        StackedBars("T", "s", [("step", {"compute": 3.0}), ("other", {})], note="N", intervals={"step": (2.0, 5.0)}),
        ["", "step", "other"],
        [["compute", "3", "–"], ["s", "3 (2 – 5)", "0"]],
        True,
    ),
    (
        BarChart("T", "s", [("one", 1.0), ("two", 2.0)], note="N", intervals={"two": (1.5, 3.0)}),
        ["", "s"],
        [["one", "1"], ["two", "2 (1.5 – 3)"]],
        False,
    ),
    (
        Waterfall("T", "USD", ("A", 5.0), [("chip", 1.0)], ("B", 6.0), note="N", intervals={"B": (4.0, 8.0)}),
        ["", "USD"],
        [["A", "5"], ["chip", "+1"], ["B", "6 (4 – 8)"]],
        True,
    ),
    (
        Tornado("T", "USD", 1.0, [Lever("load", 0.5, 1.5), Lever("price", -1.0, 3.0, "$1", "$2")], note="N"),
        ["USD: 1", "−", "+"],
        [["price", "-1 ($1)", "3 ($2)"], ["load", "0.5", "1.5"]],
        False,
    ),
    (
        Waterfall("T", "USD", ("A", 5.0), [("chip", 3.0), ("none", 0.0), ("price", -2.0)], ("B", 6.0), note="N"),
        ["", "USD"],
        [["A", "5"], ["chip", "+3"], ["none", "0"], ["price", "-2"], ["B", "6"]],
        True,
    ),
    (
        Timeline(
            "T", "s", [("0", [Span(0, 1, "F"), Span(1, 3, "B"), Span(5, 6, "F")]), ("1", [Span(1, 2, "F")])], note="N"
        ),
        ["s", "F", "B"],
        [["0", "2", "2"], ["1", "1", "0"]],
        False,
    ),
    (
        LineChart(
            "T", "GPUs", "month",
            [Line("need", [(1, 10), (2, 20)], [(1, 5, 15), (2, 15, 25)]), Line("had", [(2, 30), (3, 40)])], note="N",
        ),
        ["month", "need", "–", "had"],
        [["1", "10", "5 – 15", "–"], ["2", "20", "15 – 25", "30"]],
        False,
    ),
    (
        LineChart("T", "t/s", "speed", [Line("seen", [(1, 10), (3, 20)], dots=True)], note="N"),
        ["speed", "seen"],
        [["1", "10"], ["3", "20"]],
        False,
    ),
    (
        LineChart(
            "T", "t/s", "speed",
            [Line("seen", [(1, 10), (2, 11), (3, 20)], dots=True), Line("said", [(1, 9), (4, 4)])], note="N",
        ),
        ["speed", "seen", "said"],
        [["1", "10", "9"], ["4", "–", "4"]],
        False,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("chart", "head", "rows", "total"), FILLED, ids=lambda one: type(one).__name__)
def test_a_charts_numbers(chart: Chart, head: list[str], rows: list[list[str]], total: bool) -> None:
    assert as_table(chart) == Table("T", head, rows, "N", total)


def test_a_table_is_its_own() -> None:
    table = Table("T", ["a"], [["b"]])
    assert as_table(table) is table


def test_a_long_line_is_told_evenly_from_its_first_to_its_last() -> None:
    long = Line("long", [(x, 2 * x) for x in range(121)])
    short = Line("short", [(0, 7.0), (120, 8.0)])
    rows = as_table(LineChart("T", "u", "x", [short, long])).rows
    assert [row[0] for row in rows] == [str(x) for x in range(0, 121, 10)]
    assert len(rows) == MOST_ROWS
    assert [row[2] for row in rows] == [str(2 * x) for x in range(0, 121, 10)]
    assert [row[1] for row in rows] == ["7", *["–"] * 11, "8"]
    assert as_table(LineChart("T", "u", "x", [])).rows == []


def test_an_amount_that_is_added_has_its_sign() -> None:
    assert [signed(f"{value}", value) for value in (2, 0, -2)] == ["+2", "0", "-2"]


def test_plain_numbers_have_three_digits_and_whole_ones_from_a_thousand() -> None:
    assert [plain(v) for v in (0.0123, 1.994, 999.4, 1000.0, -12345.6)] == ["0.0123", "1.99", "999", "1,000", "-12,346"]
