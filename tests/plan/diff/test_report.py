"""How a difference is written: amounts, signs, shares, the limit, and what a card said that no longer holds."""

from __future__ import annotations

import dataclasses

import pytest

from centime.plan.diff.causes import Change, Compared, Quantity, logarithmic_mean
from centime.plan.diff.plan import Difference, parse_limit
from centime.plan.diff.report import sections, title
from centime.plan.diff.sides import Side
from centime.plan.show.language import writer
from centime.plan.show.sections import Figures, Notes, Table, Waterfall

ENGLISH = writer("en")
CAUSES = (
    Change("price", "$2/h", "$3/h", {"Cost": 1_500_000.0, "GPU-hours": 0.0, "Days": 0.0}),
    Change("tokens", "2T", "1T", {"Cost": -250_000.0, "GPU-hours": -1000.0, "Days": -0.5}),
)


def made(
    limit: float | None = None, *, a: float = 1e6, b: float = 2.25e6, causes: tuple[Change, ...] = CAUSES
) -> Difference:
    quantities = [
        Quantity("Cost", "USD", a, b),
        Quantity("GPU-hours", "", 3000.0, 2000.0),
        Quantity("Days", "", 1.5, 1.0),
        Quantity("Step", "s", 0.0, 1.0),
        Quantity("Peak", "GPUs", 999.5, 1000.0),
    ]
    sides = (Side(name, "train", {}) for name in ("old", "new"))
    return Difference(*sides, Compared(quantities, causes, "USD", ("Prices of June.",)), limit)


def tables(found: Difference) -> dict[str, Table]:
    return {one.title: one for one in sections(found, ENGLISH) if isinstance(one, Table)}


def figures(found: Difference) -> list[str]:
    head = sections(found, ENGLISH)[0]
    assert isinstance(head, Figures)
    return [item.figure for item in head.items] + [head.items[2].small]


def test_money_is_whole_from_a_thousand_on_and_in_millions_from_a_million_on() -> None:
    assert figures(made())[:3] == ["$1.000 M", "$2.250 M", "+125.00 %"]
    assert figures(made(a=999_999.0, b=1000.4, causes=()))[:2] == ["$999,999", "$1,000"]
    assert figures(made(a=999.0, b=1000.0, causes=()))[:2] == ["$999", "$1,000"]
    assert figures(made(a=1.5, b=1.25, causes=()))[:2] == ["$1.50", "$1.25"]
    assert title(made(), ENGLISH) == "From old to new: +125.00 %"
    assert title(made(a=1.0, b=10.99, causes=()), ENGLISH).endswith(": +999.00 %")
    assert title(made(a=1.0, b=11.0, causes=()), ENGLISH).endswith(": x 11")


def test_quantities_stand_before_and_after_with_their_units() -> None:
    rows = tables(made())["Before and after"].rows
    assert rows == [
        ["Cost", "$1.000 M", "$2.250 M", "+125.00 %"],
        ["GPU-hours", "3,000", "2,000", "-33.33 %"],
        ["Days", "1.5", "1", "-33.33 %"],
        ["Step, s", "0", "1", "–"],
        ["Peak, GPUs", "1,000", "1,000", "+0.05 %"],
    ]


def test_causes_have_signs_and_add_up_to_the_whole() -> None:
    table = tables(made())["Causes, from A to B"]
    assert table.rows == [
        ["Price of an hour", "$2/h", "$3/h", "+$1.500 M", "–", "–"],
        ["Tokens", "2T", "1T", "-$0.250 M", "-1,000", "-0.5"],
        ["Whole", "", "", "+$1.250 M", "-1,000", "-0.5"],
    ]
    assert table.total
    (fall,) = [one for one in sections(made(), ENGLISH) if isinstance(one, Waterfall)]
    assert (fall.start, fall.end) == (("A", 1e6), ("B", 2.25e6))
    assert [by for _, by in fall.steps] == [1.5e6, -0.25e6]
    turned = made(causes=CAUSES[::-1])
    (fall,) = [one for one in sections(turned, ENGLISH) if isinstance(one, Waterfall)]
    assert [by for _, by in fall.steps] == [1.5e6, -0.25e6], "what adds comes first"


def test_without_a_cause_that_is_said() -> None:
    same = sections(made(a=5.0, b=5.0, causes=()), ENGLISH)
    assert not any(isinstance(one, Waterfall) for one in same)
    assert [one.lines for one in same if isinstance(one, Notes)] == [
        ["Nothing that a plan depends on differs."],
        ["Prices of June."],
    ]


def test_the_limit_is_passed_by_more_than_it() -> None:
    assert (made(0.05).over, made(1.25).over, made(1.2499).over, made().over) == (True, False, True, False)
    assert figures(made(0.05))[3] == "past the limit of +5 %"
    assert figures(made(2.0))[3] == "within the limit of +200 %"
    assert figures(made())[3] == ""
    assert parse_limit(" 5% ") == 0.05
    assert parse_limit("0%") == 0
    assert parse_limit("100000000%") == 1e6
    assert made(0.05).to_json()["over"] is True


def test_a_card_that_said_another_cost_is_told() -> None:
    def notes(said: float | None, name: str = "Cost") -> list[str]:
        found = made()
        cost, *others = found.found.quantities
        compared = dataclasses.replace(found.found, quantities=[cost._replace(name=name), *others])
        card = Side("old", "train", {}, said, ("A is a card.",))
        return dataclasses.replace(found, a=card, found=compared).notes

    assert notes(1e6) == notes(1e6 * (1 + 1e-9)) == notes(None) == ["A is a card.", "Prices of June."]
    moved = notes(1.1e6)
    assert moved[1].startswith("The card of A said $1,100,000.00 and comes to $1,000,000.00")
    assert notes(1.1e6, "Cost per million output tokens") == notes(None), "a card says its cost of a day"


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.718281828459045), (3.0, 3.0), (2.718281828459045, 1.0)])
def test_the_logarithmic_mean_is_what_a_logarithm_is_worth(a: float, b: float) -> None:
    assert logarithmic_mean(a, b) == pytest.approx(abs(b - a) or a)
