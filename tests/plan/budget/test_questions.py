"""What an investor asks: the likely split as published, and the GPUs that a gain in efficiency leaves."""

from __future__ import annotations

import pytest

from centime.errors import UserError
from centime.plan.budget.inputs import BudgetRequest
from centime.plan.budget.plan import plan_budget
from centime.plan.budget.questions import efficiency_gain, parse_gain, published_splits


def test_nothing_gained_changes_nothing() -> None:
    gain = efficiency_gain(1.0, 1000.0, 0.7, 200, 0)
    assert gain.price == gain.tokens == pytest.approx((1.0,) * 3)
    assert gain.gpus == pytest.approx((1000.0,) * 3)
    assert gain.share_more == 0


def test_only_what_serves_answers_to_efficiency() -> None:
    training = efficiency_gain(10.0, 1000.0, 0.0, 200, 0)
    assert training.gpus == pytest.approx((1000.0,) * 3)
    low, middle, high = efficiency_gain(10.0, 1000.0, 0.7, 200, 0).gpus
    assert 300 < low < middle < high  # what trains stays
    assert middle == pytest.approx(300 + 700 * 10 ** (1.11 * 0.9 - 1), rel=0.15)


def test_a_loss_of_efficiency_is_the_other_way_round() -> None:
    better, worse = (efficiency_gain(factor, 1.0, 1.0, 200, 0) for factor in (10.0, 0.1))
    assert better.tokens[1] == pytest.approx(1 / worse.tokens[1], rel=1e-3)
    assert better.share_more == pytest.approx(1 - worse.share_more)


def test_the_budget_answers_with_its_own_gpus_and_the_published_splits() -> None:
    plan = plan_budget(BudgetRequest(80e9, efficiency=10))
    told = plan.to_json()
    assert plan.gain is not None
    assert told["efficiency"]["gpus"][1] == plan.gain.gpus[1] < told["gpus"] < plan.gain.gpus[2]
    assert [split["train"] for split in told["splits"]] == [split.train for split in published_splits()]
    by_training = sorted(told["splits"], key=lambda split: split["train"])
    tokens = [split["output_tokens_per_day"] for split in by_training]
    assert tokens == sorted(tokens, reverse=True)
    assert plan_budget(BudgetRequest(80e9)).to_json()["efficiency"] is None


@pytest.mark.parametrize("text", ["", "x", "0x", "-3x", "ten", "nan", "inf", "1e9x"])
def test_what_is_no_factor_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="--efficiency"):
        parse_gain(text)


@pytest.mark.parametrize("text", ["10x", "x10", " 10 ", "10.0X"])
def test_a_factor_is_read_as_people_write_it(text: str) -> None:
    assert parse_gain(text) == 10
