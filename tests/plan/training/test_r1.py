"""R1-Zero and a distillation of R1 as their recipes have them, planned: no constant knows the published hours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from centime.plan.training.plan import plan_training
from centime.plan.training.post_training import Reinforcement
from centime.plan.training.request import TrainingRequest
from centime.recipe import Rl, Sft, read

RECIPES = Path(__file__).parents[3] / "recipes"
PUBLISHED = 101e3  # H800 hours of R1-Zero (arXiv 2501.12948v2, its table of training costs)
PROMPT = 200.0  # tokens: an assumption
MEAN_ANSWERS = (5000.0, 15_000.0)  # of each stage, as others describe Fig. 1b of Nature 645 (2025)
ON_512 = TrainingRequest("deepseek-v3", 1.0, "h800", 512, price="$2/h", extension=(), post_hours=0.0)
ON_512 = replace(ON_512, software_date="2025-01-20")


def test_r1_zero_takes_what_was_published_within_a_quarter() -> None:
    hours, low, high = 0.0, 0.0, 0.0
    stages = [section for _, section in read(RECIPES / "r1-zero.toml").stages]
    assert len(stages) == len(MEAN_ANSWERS)
    for section, mean in zip(stages, MEAN_ANSWERS, strict=True):
        assert isinstance(section, Rl)
        rl = Reinforcement(section.steps, section.batch_size, PROMPT, mean, 16, section.max_tokens)
        stage = plan_training(replace(ON_512, rl=rl)).stages[-1]
        assert sum(stage.parts.values()) == pytest.approx(stage.gpu_hours)
        hours, low, high = hours + stage.gpu_hours, low + stage.low_hours, high + stage.high_hours
    assert 0.75 * PUBLISHED < hours < 1.25 * PUBLISHED
    assert low < PUBLISHED < high


def test_a_distillation_of_r1_is_sized_for_one_machine() -> None:
    (_, section), *rest = read(RECIPES / "r1-distill-v2-lite.toml").stages
    assert isinstance(section, Sft)
    assert not rest
    shape = {"seq": section.sequence_length, "global_batch": section.batch_size}
    asked = replace(ON_512, model="deepseek-v2-lite", gpus=8, sft_tokens=804_745 * 5355 * section.epochs, **shape)
    found = plan_training(asked).stages[-1]
    assert 100 < found.gpu_hours < 300
