"""A life in words: sums at the edges of their units, curves over powers of ten, and the edges of the search."""

from __future__ import annotations

import pytest

from centime.plan.counts.reshape import DENSE
from centime.plan.lifetime.options import MOST_TRAINED, edges
from centime.plan.lifetime.plan import Lifetime, Option
from centime.plan.lifetime.report import cost, sections
from centime.plan.lifetime.request import LifetimeRequest
from centime.plan.show.language import writer
from centime.plan.show.sections import LineChart

ENGLISH = writer("en")


def option(params: float, tokens: float = 1e12) -> Option:
    return Option("small", "dense", DENSE, params, params, tokens, "bf16", params * tokens * 1e-16, params * 1e-17)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (4.33e9, "$4.33 B"),
        (1e9, "$1.00 B"),
        (1_900_000.0, "$1.90 M"),
        (1e6, "$1.00 M"),
        (999_999.6, "$1.00 M"),
        (999_999.4, "$999,999"),
        (1000.0, "$1,000"),
        (0.42, "$0.420"),
    ],
)
def test_a_sum_has_the_unit_that_it_rounds_to(value: float, said: str) -> None:
    assert cost(ENGLISH, value, "USD") == said


def test_curves_over_powers_of_ten_have_axes_of_them() -> None:
    found = Lifetime(LifetimeRequest("x", 1e13), 2.0, option(7e9), (option(7e9), option(1e9, 9e12)), (), "USD", (), ())
    charts = [section for section in sections(found, ENGLISH) if isinstance(section, LineChart)]
    assert len(charts) == 3
    for chart in charts:
        assert (chart.log_x, chart.log_y) == (True, True)
        served = [x for x, _ in chart.lines[0].points]
        assert served[-1] / served[0] == pytest.approx(1e6)


def test_an_answer_inside_the_search_says_nothing_and_one_at_an_edge_which() -> None:
    small, middle, large = (option(params) for params in (1e9, 2e9, 4e9))
    found = [small, middle, large]
    assert edges(middle, found, None) == []
    assert "smallest that was tried" in "".join(edges(small, found, None))
    assert "largest that was tried" in "".join(edges(large, found, None))
    assert edges(small, [small, small], None) == [], "of one size there is no edge"


def test_as_many_tokens_as_a_published_run_has_seen_are_not_more() -> None:
    sizes = [option(1e9), option(4e9)]
    assert edges(option(2e9, MOST_TRAINED), sizes, None) == []
    (said,) = edges(option(2e9, MOST_TRAINED * 1.01), sizes, None)
    assert "more than any published run" in said
