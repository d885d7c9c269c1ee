"""Reinforcement learning from its sizes: how it is written, where rollouts fit, how their time moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.training.post_training import Reinforcement, decode_step_seconds, parse_reinforcement, unit_chips

V3, H800 = architecture("deepseek-v3"), chip("h800")


def test_as_people_write_it() -> None:
    found = parse_reinforcement("steps=10400, rollouts=512,prompt=200,answer=8K")
    assert found == Reinforcement(10_400, 512, 200.0, 8000.0)
    assert parse_reinforcement("steps=1,rollouts=2,prompt=3,answer=4,steps_per_rollout=1").steps_per_rollout == 1
    assert found.tokens == 10_400 * 512 * 8200


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps=10,rollout=5", "Did you mean 'rollouts'"),
        ("steps=10,rollouts=5,prompt=1", "answer is missing"),
        ("steps=10,steps=5", "given twice"),
        ("steps=ten", "not a quantity"),
        ("steps=1.5,rollouts=2,prompt=3,answer=4", "steps is 1.5; expected a whole number"),
        ("", "steps is missing"),
    ],
)
def test_what_is_written_otherwise_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_reinforcement(text)


def test_rollouts_that_fit_on_no_unit_are_a_sentence() -> None:
    with pytest.raises(UserError, match="at least"):
        unit_chips(V3, H800, gpus=8, weight_bytes=2.0)


def test_a_unit_holds_its_weights_in_half_of_its_memory() -> None:
    unit = unit_chips(V3, H800, gpus=2048, weight_bytes=1.0)
    assert unit % 8 == 0
    assert 671e9 <= unit * 80e9 / 2 < 671e9 + 8 * 40e9


@given(st.floats(1, 1e4), st.floats(1.01, 4), st.floats(1, 1e5), st.integers(8, 512))
def test_more_answers_at_once_and_longer_ones_are_never_faster(
    batch: float, more: float, context: float, unit: int
) -> None:
    one = decode_step_seconds(V3, H800, unit, batch, context, 1.0)
    assert decode_step_seconds(V3, H800, unit, batch * more, context, 1.0) >= one
    assert decode_step_seconds(V3, H800, unit, batch, context * more, 1.0) >= one
    assert decode_step_seconds(V3, H800, unit, batch * more, context, 1.0) <= one * more
