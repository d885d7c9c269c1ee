"""Reinforcement learning from its sizes: how it is written, where rollouts fit, how their time moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.step.job import Job
from centime.plan.step.layout import parse
from centime.plan.step.prediction import predict_step, software_of
from centime.plan.training.post_training import (
    Reinforcement,
    decode_step_seconds,
    parse_reinforcement,
    rl_step_seconds,
    unit_chips,
)

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


def test_a_step_of_rl_trains_and_scores_twice_at_the_trainings_speed() -> None:
    """512 answers of 8,200 tokens, prompt and all: a training step and two forwards, of a third of a step each."""
    rl = Reinforcement(10_400, 512, 200.0, 8000.0)
    layout = parse("pp=16,ep=64,schedule=dualpipe,zero=1", 2048)
    step = predict_step(Job(V3, H800, 4096, 15_360, "fp8", software_of(None)), layout, recompute_as_needed=True)
    twice = replace(step, step_time_s=step.step_time_s / 2, tokens_per_s_per_gpu=step.tokens_per_s_per_gpu * 2)
    trained = 512 * 8200 / (step.tokens_per_s_per_gpu * 2048)
    saved = rl_step_seconds(V3, H800, 2048, rl, step) - rl_step_seconds(V3, H800, 2048, rl, twice)
    assert saved == pytest.approx(trained * (1 + 2 / 3) / 2)
