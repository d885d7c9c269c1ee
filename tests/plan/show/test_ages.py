"""Every plan that rests on dated prices says how old they are and how to renew them, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plan.show.plans import made

from centime.plan import verbs
from centime.plan.show.sections import Notes


def lines(plan: Any, lang: str) -> list[str]:
    return [line for one in verbs.sections(plan, lang) if isinstance(one, Notes) for line in one.lines]


@pytest.mark.slow
def test_a_plan_says_how_old_its_prices_are() -> None:
    """Each verb does in one plan at least; where every price was given there is nothing to say, and never twice."""
    says: dict[str, list[int]] = {}
    for maker in made():
        plan = maker()
        said = sum("`centime catalogue update`" in line for line in lines(plan, "en"))
        assert said == sum("`centime catalogue update`" in line for line in lines(plan, "fr"))
        says.setdefault(plan.verb, []).append(said)
    assert {verb for verb, found in says.items() if 1 in found} == set(says) - {"explain", "lifetime", "check"}
    assert all(found <= {0, 1} for found in map(set, says.values()))


def test_a_price_that_is_given_has_no_age() -> None:
    plan = made()[0]()
    assert plan.price.kind == "given"
    assert not any("days old" in line for line in lines(plan, "en"))
