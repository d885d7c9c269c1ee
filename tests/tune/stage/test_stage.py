"""Reinforcement among the stages of one recipe: sft, rl, sft, rl, as R1 had them; and what a kill costs."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.train.killed import finish_in_spite_of
from tests.train.made import train
from tests.tune.made import assert_none_twice, booked, lines, start

from centime.errors import UserError
from centime.train.stages import StepSettings
from centime.tune.groups import Drawn
from centime.tune.stage import every_kind
from centime.tune.stage.steps import Learned, ReinforcedSteps

RL = """
[[stage]]
kind = "rl"
steps = {steps}
prompts = 3
samples = 4
max_tokens = 5
sequence_length = 32
lr = 1e-3
evaluate_every = 2
[stage.problems]
source = "chains"
chat = false
easiest = 1
hardest = 2
held_out_count = 4
[stage.loss]
algorithm = "grpo"
"""
SFT = """
[[stage]]
kind = "sft"
data = "{data}"
sequence_length = 48
batch_size = 4
epochs = 1.0
lr = 1e-4
mtp_weight = 0.0
mtp_weight_end = 0.0
"""
HEAD = """
name = "stages"
[model]
from = "{start}"
[run]
precision = "fp32"
checkpoint_every = 2
tensorboard = false
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{n}+{n}", "answer": str(2 * n)}) + "\n" for n in range(8)))
    path = folder / "recipe.toml"
    head, sft = HEAD.format(start=start(folder / "model", 10)), SFT.format(data=data)
    path.write_text(head + sft + RL.format(steps=3) + sft + RL.format(steps=2))
    return path


def run(recipe: Path, folder: Path, *settings: str, **options: object) -> int:
    return train(recipe, folder, *settings, kinds=every_kind(), **options)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(recipe, folder) == 0
    (folder / "booked.json").write_text(json.dumps(booked(folder)))  # each test has a ledger of its own
    return folder


def test_four_stages_have_their_steps_evaluations_and_lines(whole: Path) -> None:
    found = lines(whole)
    assert [(line["stage"], line["step"]) for line in found if "loss" in line] == [
        *(("sft-1", step) for step in (1, 2)),
        *(("rl-1", step) for step in (1, 2, 3)),
        *(("sft-2", step) for step in (1, 2)),
        *(("rl-2", step) for step in (1, 2)),
    ]
    judged = [(line["stage"], line["step"]) for line in found if "eval_accuracy" in line]
    assert judged == [("rl-1", 0), ("rl-1", 2), ("rl-1", 3), ("rl-2", 0), ("rl-2", 2)]
    answers = [line for line in found if "reward" in line]
    assert all(line["mismatch_max"] < 1e-4 for line in answers if "mismatch_max" in line)
    assert [line["graded"] for line in answers] == [12] * 5
    made = json.loads((whole / "booked.json").read_text())
    parts = {f"{part}-{number}" for part in ("rollout", "reward", "rl", "evaluate") for number in (1, 2)}
    assert parts <= {line["stage"] for line in made["lines"]}, "each stage of reinforcement has its own lines"
    assert made["plan"]["state"] == "finished"
    planned = made["plan"]["predicted"]["stages"]
    assert {"sft-1", "rl-1", "rollout-1", "reward-2", "evaluate-2"} <= planned.keys()
    assert sum(stage["seconds"] for stage in planned.values()) <= 1.001 * made["plan"]["predicted"]["seconds"]


def test_cut_off_within_stages_it_goes_on_to_the_same_bits_and_draws_nothing_twice(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    """Cut off twice as a step's update begins: its answers are drawn, graded and booked, and learned from later."""
    own, folder, left = ReinforcedSteps.learn, tmp_path / "run", [0]

    def learn(self: ReinforcedSteps, step: int, drawn: Drawn, settings: StepSettings) -> Learned:
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError("cut off")
        return own(self, step, drawn, settings)

    for steps, resume in ((1, False), (3, True)):
        left[0] = steps
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ReinforcedSteps, "learn", learn)
            with pytest.raises(MemoryError):
                run(recipe, folder, resume=resume)
    assert run(recipe, folder, resume=True) == 0
    assert lines(folder) == lines(whole)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()
    bills = [booked(folder), json.loads((whole / "booked.json").read_text())]
    drawn, undisturbed = (
        {line["stage"]: line["tokens"] for line in bill["lines"] if line["stage"].startswith("rollout")}
        for bill in bills
    )
    assert drawn == undisturbed


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 10))])
@pytest.mark.slow
def test_killed_at_any_instant_of_any_stage_it_goes_on_to_the_same_bits_and_draws_nothing_twice(
    seed: int, recipe: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    kills = random.Random(seed).sample(range(1, len(lines(whole))), 2 if not seed else 4)
    assert finish_in_spite_of(recipe, folder, sorted(kills), seed) >= 1
    assert lines(folder) == lines(whole)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()
    assert_none_twice(booked(folder), json.loads((whole / "booked.json").read_text()))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["stage.1.batch_size=7"], "prompts times samples 12"),
        (["stage.1.reward=exakt"], "known are exact, number, code, math"),
        (["stage.1.max_tokens=30"], "need more than sequence_length = 32"),
        (["stage.1.problems.source=nothing.jsonl"], "nothing.jsonl"),
        (["stage.1.mtp_weight=0.1"], "mtp_weight"),
        (["stage.1.sampels=3"], "sampels"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(recipe: Path, tmp_path: Path, settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        run(recipe, tmp_path / "run", *settings)
    assert not (tmp_path / "run").exists()
