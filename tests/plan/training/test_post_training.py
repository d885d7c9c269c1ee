"""Reinforcement learning from its sizes: how it is written, where rollouts fit, how their time moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, draining_batch, static_batch
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.units import Unit, number_format
from centime.plan.step.job import Job
from centime.plan.step.layout import parse
from centime.plan.step.prediction import predict_step, software_of
from centime.plan.training.post_training import (
    Reinforcement,
    answers_step,
    parse_reinforcement,
    rl_step,
    rollout_seconds,
)

H800 = chip("h800")
JOB = Job(architecture("deepseek-v3"), H800, 4096, 15_360, "fp8", software_of(None))
RL = Reinforcement(10_400, 512, 200.0, 8000.0)


def test_as_people_write_it() -> None:
    found = parse_reinforcement("steps=10400, rollouts=512,prompt=200,answer=8K")
    assert found == Reinforcement(10_400, 512, 200.0, 8000.0)
    assert parse_reinforcement("steps=1,rollouts=2,prompt=3,answer=4,steps_per_rollout=1").steps_per_rollout == 1
    assert found.tokens == 10_400 * 512 * 8200
    assert parse_reinforcement("steps=1,rollouts=2,prompt=3,answer=4,longest=32K").longest_tokens == 32_000


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(1.0, 1e6), st.floats(1.0, 1e6), st.integers(1, 100))
def test_steps_are_whole_and_lengths_are_means(
    steps: int, rollouts: int, prompt: float, answer: float, each: int
) -> None:
    found = parse_reinforcement(
        f"steps={steps},rollouts={rollouts},prompt={prompt:f},answer={answer:f},steps_per_rollout={each}"
    )
    assert (found.steps, found.rollouts, found.steps_per_rollout) == (steps, rollouts, each)
    assert all(type(one) is int for one in (found.steps, found.rollouts, found.steps_per_rollout))
    assert (found.prompt_tokens, found.answer_tokens) == pytest.approx((prompt, answer), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps=10,rollout=5", "Did you mean 'rollouts'"),
        ("steps=10,rollouts=5,prompt=1", "answer is missing"),
        ("steps=10,steps=5", "given twice"),
        ("steps=ten", "not a quantity"),
        ("steps=1.5,rollouts=2,prompt=3,answer=4", "steps is 1.5; expected a whole number"),
        ("", "steps is missing"),
        ("steps=1,rollouts=2,prompt=3,answer=4,longest=3", "longest is 3, below an answer's mean of 4"),
    ],
)
def test_what_is_written_otherwise_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_reinforcement(text).check()


def test_rollouts_that_fit_on_no_unit_are_a_sentence() -> None:
    with pytest.raises(UserError, match="at least"):
        rollout_seconds(JOB, 4, RL)


def test_answers_come_as_a_server_of_the_same_chips_gives_them() -> None:
    """One unit that holds the model, all answers at once, down to the longest of 8,192."""
    job = replace(JOB, arch=architecture("llama-3.1-8b"), precision="bf16")
    form = number_format("bf16", mixture=False)
    engine = EngineModel(model_cost(job.arch), H800, Unit(), form, speeds(H800, ServingSoftware("", job.software.year)))
    longest = 8000 * sum(1 / n for n in range(1, 512 * 16 + 1))
    assert rollout_seconds(job, 1, RL) == pytest.approx(draining_batch(engine, 512 * 16, 200, 8000, longest), rel=1e-3)
    assert rollout_seconds(job, 8, RL) < rollout_seconds(job, 1, RL)


def test_a_model_too_large_for_one_stage_generates_in_a_pipeline() -> None:
    dense = replace(JOB, arch=architecture("llama-3.1-405b"), precision="bf16")
    with pytest.raises(UserError, match="405B does not fit 8 x H800"):
        rollout_seconds(dense, 8, RL)
    assert rollout_seconds(dense, 64, RL) > 0


def test_a_batch_of_one_length_takes_what_a_static_batch_takes() -> None:
    """An engine whose steps do not depend on what is in them: then only the longest answer counts."""
    job = replace(JOB, arch=architecture("llama-3.1-8b"), precision="bf16")
    form = number_format("bf16", mixture=False)
    engine = EngineModel(model_cost(job.arch), H800, Unit(), form, speeds(H800, ServingSoftware("", job.software.year)))
    alone = static_batch(engine, 1, 200, 8000)
    assert draining_batch(engine, 1, 200, 8000, 8000) == pytest.approx(alone, rel=0.01)
    assert 3.5 < draining_batch(engine, 1, 200, 8000, 32_000) / alone < 4.5


def test_where_answers_are_cut_off_nobody_waits_longer() -> None:
    cut = [rollout_seconds(JOB, 512, replace(RL, longest_tokens=most)) for most in (8000.0, 16_000.0, 32_000.0, None)]
    assert cut == sorted(cut)
    assert cut[-1] == rollout_seconds(JOB, 512, replace(RL, longest_tokens=1e9))


@given(st.integers(1, 8192), st.floats(1.01, 4), st.floats(1, 1e4), st.integers(32, 512))
@settings(max_examples=20, deadline=None)
def test_more_answers_at_once_and_longer_ones_are_never_faster(
    rollouts: int, more: float, answer: float, gpus: int
) -> None:
    one = rollout_seconds(JOB, gpus, replace(RL, rollouts=rollouts, answer_tokens=answer))
    assert rollout_seconds(JOB, gpus, replace(RL, rollouts=2 * rollouts, answer_tokens=answer)) >= one
    assert rollout_seconds(JOB, gpus, replace(RL, rollouts=rollouts, answer_tokens=answer * more)) >= one


def test_a_step_of_rl_trains_and_scores_twice_at_the_trainings_speed() -> None:
    """512 answers of 8,200 tokens, prompt and all: a training step and two forwards, of a third of a step each."""
    step = predict_step(JOB, parse("pp=16,ep=64,schedule=dualpipe,zero=1", 2048), recompute_as_needed=True)
    twice = replace(step, step_time_s=step.step_time_s / 2, tokens_per_s_per_gpu=step.tokens_per_s_per_gpu * 2)
    trained = 512 * 8200 / (step.tokens_per_s_per_gpu * 2048)
    saved = rl_step(JOB, 2048, RL, step).seconds - rl_step(JOB, 2048, RL, twice).seconds
    assert saved == pytest.approx(trained * (1 + 2 / 3) / 2)


def test_answers_are_trained_on_at_their_own_length() -> None:
    """A token's answer is twice as long as an answer; short ones are packed into rows of pre-training's length."""
    step = predict_step(JOB, parse("pp=16,ep=64,schedule=dualpipe,zero=1", 2048), recompute_as_needed=True)
    assert answers_step(JOB, replace(RL, answer_tokens=1500), step) is step
    speeds_of = [answers_step(JOB, replace(RL, answer_tokens=answer), step) for answer in (4000.0, 8000.0, 16_000.0)]
    assert [one.seq for one in speeds_of] == [8400, 16_400, 32_400]
    assert all(one.tokens_per_s_per_gpu < step.tokens_per_s_per_gpu for one in speeds_of)
