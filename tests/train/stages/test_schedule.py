"""Schedules: V3's own numbers, rows without gaps, and the same shape at any budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime import recipe as recipes
from centime.catalogue.model_config import YarnScaling
from centime.catalogue.presets import preset
from centime.errors import UserError
from centime.recipe import Pretrain
from centime.train.stages.schedule import Schedule, make_schedule
from centime.train.stages.stage_plan import stage_configs


def test_deepseek_v3_schedule(root: Path) -> None:
    """The shipped recipe against the V3 report, section 4.2, read off at the milestones it names."""
    stage = recipes.read(root / "recipes/deepseek-v3.toml").train
    assert stage.tokens is not None
    schedule = make_schedule(stage, stage.tokens)
    seen = schedule.first_row * 4096

    def at(tokens: float):
        return schedule.settings(int(np.searchsorted(seen, tokens)))

    assert schedule.tokens == pytest.approx(14.8e12, rel=1e-5)
    assert schedule.settings(0).lr == pytest.approx(2.2e-4 / 2000)
    assert schedule.settings(1999).lr == pytest.approx(2.2e-4)
    assert at(9.99e12).lr == 2.2e-4
    assert at(12.15e12).lr == pytest.approx((2.2e-4 + 2.2e-5) / 2, rel=1e-3)
    assert at(14.4e12).lr == pytest.approx(2.2e-5)
    assert at(14.7e12).lr == pytest.approx(7.3e-6)
    assert (at(9.9e12).mtp_weight, at(10.1e12).mtp_weight) == (0.3, 0.1)
    assert (at(14.2e12).bias_speed, at(14.4e12).bias_speed) == (1e-3, 0.0)
    assert schedule.rows[0] == 3072
    assert schedule.rows[int(np.searchsorted(seen, 234.5e9))] == pytest.approx((3072 + 15360) / 2, rel=1e-2)
    assert set(schedule.rows[seen > 470e9]) == {15360}


def test_deepseek_v3_context_extension(root: Path) -> None:
    """Section 4.3: two phases of 1,000 steps, batches of 1,920 and 480, YaRN at s = 40 over 4,096 positions."""
    recipe = recipes.read(root / "recipes/deepseek-v3.toml")
    for context, length in zip(recipe.context, (32768, 131072), strict=True):
        schedule = make_schedule(context, context.tokens)
        assert (schedule.steps, schedule.stage.sequence_length) == (1000, length)
        assert {schedule.settings(i).lr for i in range(1000)} == {7.3e-6}
        assert schedule.settings(0).bias_speed == 0
    before, *after = stage_configs(recipe)
    assert before.rope_scaling is None
    for config in (*after[:2], preset("deepseek-v3")):
        assert config.rope_scaling == YarnScaling(factor=40, original_max_position_embeddings=4096)
        assert config.max_position_embeddings == 163840


@given(
    rows=st.integers(1, 5000),
    batch=st.integers(1, 64),
    start=st.one_of(st.none(), st.integers(1, 64)),
    ramp=st.floats(0, 1),
    warmup=st.integers(0, 50),
)
def test_rows_follow_without_gaps(rows: int, batch: int, start: int | None, ramp: float, warmup: int) -> None:
    stage = Pretrain(
        sequence_length=8, batch_size=batch, batch_size_start=start, batch_ramp_until=ramp, warmup_steps=warmup
    )
    schedule = make_schedule(stage, rows * 8)
    assert schedule.first_row[0] == 0
    assert np.array_equal(schedule.first_row[1:], np.cumsum(schedule.rows)[:-1])
    assert schedule.rows.min() >= 1
    assert abs(schedule.rows.sum() - rows) <= max(batch, start or 0)
    rates = [schedule.settings(i).lr for i in range(schedule.steps)]
    assert 0 < min(rates) <= max(rates) <= stage.lr
    assert all(a >= b for a, b in zip(rates[schedule.warmup_steps :], rates[schedule.warmup_steps + 1 :], strict=False))


def test_a_fitted_stage_keeps_its_shape() -> None:
    stage = Pretrain(
        sequence_length=8, batch_size=4, lr=1.0, warmup_steps=100, constant_until=16_000.0, mtp_weight_until=16_000.0
    )
    whole, tenth = make_schedule(stage, 32_000), make_schedule(stage, 32_000, 3_200)
    assert (whole.steps, tenth.steps) == (1000, 100)
    assert (whole.warmup_steps, tenth.warmup_steps) == (100, 10)
    for step in (20, 49, 50, 75, 99):
        assert tenth.settings(step) == whole.settings(step * 10)


def test_milestones_out_of_order_are_refused() -> None:
    with pytest.raises(UserError, match="put them in order"):
        make_schedule(Pretrain(constant_until=0.9, cosine_until=0.5), 10_000)


def test_a_ratio_at_each_milestone_is_that_of_what_begins_there(root: Path) -> None:
    stage = recipes.read(root / "recipes/deepseek-v3.toml").train.model_copy(update={"lr_end_ratio": 0.1})
    milestones = {"constant_until": 0.25, "cosine_until": 0.5}
    steps = np.ones(100, dtype=np.int64)
    schedule = Schedule(stage, steps, np.arange(100), 4, milestones, [(0.75, 0.05), (1.0, 0.01)])
    shares = (0.0, 0.24, 0.25, 0.375, 0.5, 0.74, 0.75, 1.0)
    expected = [1.0, 1.0, 1.0, 0.55, 0.05, 0.05, 0.01, 0.01]
    assert [schedule._lr_ratio(9, share) for share in shares] == pytest.approx(expected)
    assert [schedule._lr_ratio(step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    bare = Schedule(stage, steps, np.arange(100), 0, milestones, [])
    assert [bare._lr_ratio(0, share) for share in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.1, 0.1])
    shares = {"mtp_weight_until": 0.25, "bias_update_until": 0.5}
    whole = Schedule(stage, steps, np.arange(100), 0, milestones | shares, [])
    found = [whole.settings(step) for step in (24, 25, 49, 50)]
    first, last = stage.mtp_weight, stage.mtp_weight_end
    assert [one.mtp_weight for one in found] == [first, last, last, last]
    assert [one.bias_speed for one in found] == [stage.bias_update_speed] * 3 + [0.0]
    assert first != last
