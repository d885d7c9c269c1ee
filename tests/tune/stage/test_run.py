"""Whole runs of reinforcement: what is learned, what is booked, what is refused, and what a kill costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.killed import finish_in_spite_of
from tests.tune.made import assert_none_twice, booked, lines, reinforce, start, write_recipe

from centime.errors import UserError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def recipe(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), base)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    reinforce(recipe, [], folder)
    (folder / "booked.json").write_text(json.dumps(booked(folder)))  # each test has a ledger of its own
    return folder


def test_a_run_leaves_its_figures_its_model_and_its_report(whole: Path) -> None:
    steps = [line for line in lines(whole) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [line["lr"] for line in steps] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3]), "a linear warm-up"
    for line in steps:
        assert 0 <= line["silent"] <= 1
        assert line["graded"] == 16
        assert line["mismatch_max"] < 1e-4, "what was drawn is what is learned from"
        assert line["clip_share"] == 0, "of the first update after a roll-out nothing is clipped"
        assert 0 <= line["entropy"] < 6
    assert [line["step"] for line in lines(whole) if "eval_accuracy" in line] == [0, 3, 6]
    told = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    costs = [line["cost"] for line in told]
    assert 0 < costs[0] <= costs[-1]
    assert costs == sorted(costs)
    assert {line["currency"] for line in told} == {"USD"}
    assert all(
        ("cost_per_point" in line) == (line["eval_accuracy"] > told[0]["eval_accuracy"])
        for line in told
        if "eval_accuracy" in line
    )
    assert (whole / "model" / "config.json").is_file()
    assert (whole / "model" / "tokenizer.json").is_file()
    page = (whole / "report.html").read_text()
    for title in ("Reward", "Accuracy", "Length of answers", "Groups without a signal", "Entropy"):
        assert title in page
    samples = [json.loads(line) for line in (whole / "samples.jsonl").read_text().splitlines()]
    assert [line["stage"].partition(" ")[0].rstrip(",") for line in samples] == ["rl", "rl", "rl"]
    assert [line["stage"].partition(" of ")[0] for line in samples] == ["rl, best", "rl, worst", "rl"]


def test_the_bill_has_each_part_apart_beside_what_it_was_forecast_to_take(whole: Path) -> None:
    made = json.loads((whole / "booked.json").read_text())
    parts = {"rl", "rollout", "reward", "evaluate"}
    assert parts <= {line["stage"] for line in made["lines"]}
    assert parts <= made["plan"]["predicted"]["stages"].keys()
    assert made["plan"]["state"] == "finished"
    assert made["plan"]["predicted"]["seconds"] > 0


def test_a_target_and_a_budget_stop_a_run(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = reinforce(recipe, [], tmp_path / "a", budget="400-tokens")
    assert last["step"] == 2, "16 answers of some ten tokens a step"
    once = tmp_path / "once.py"  # nothing is right before the first evaluation, and everything after it
    once.write_text(
        "asked = []\n"
        "def rewards(prompts, answers, rows):\n"
        "    asked.append(1)\n"
        "    return [float(len(asked) > 1)] * len(prompts)\n"
    )
    settings = ["rl.target=0.5", f"rl.reward={once}", "rl.steps=50", "rl.evaluate_every=2"]
    assert reinforce(recipe, settings, tmp_path / "b")["step"] == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "rl: from 0.0 to 100.0 % of 6 held-out problems right after 2 steps; the target is reached." in said


@pytest.mark.parametrize(
    "settings",
    [
        ["rl.updates=2", "rl.loss.algorithm=gspo"],
        ["rl.loss.algorithm=grpo", "rl.reference_every=2"],
        ["rl.redraws=2", "rl.overlong=punish", "rl.format_reward=0.5", "rl.language_reward=0.1"],
        ["rl.overlong=mask", "rl.loss.algorithm=dr-grpo", "optimizer.name=muon", "rl.problems.curriculum=0.5"],
    ],
)
def test_every_setting_runs(recipe: Path, tmp_path: Path, settings: list[str]) -> None:
    assert reinforce(recipe, ["rl.steps=3", *settings], tmp_path / "run")["step"] == 3
    if "rl.loss.algorithm=grpo" in settings:
        kl = [line["kl"] for line in lines(tmp_path / "run") if "kl" in line]
        assert kl[0] == pytest.approx(0, abs=1e-6), "the reference is the policy as it was"


def test_rewards_beyond_right_and_wrong_are_told_and_what_is_not_finite_updates_nothing(
    recipe: Path, base: Path, tmp_path: Path
) -> None:
    """Squares of gradients of rewards that nobody should give are beyond float32."""
    vast = tmp_path / "vast.py"
    vast.write_text("def reward(prompt, answer, row):\n    return -1e30 * len(set(answer))\n")
    settings = ["rl.steps=2", "rl.loss.algorithm=dr-grpo", f"rl.reward={vast}"]
    reinforce(recipe, settings, tmp_path / "run")
    losses = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert len(losses) == 2
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-00000002" / "state.json").read_text())
    assert state["skipped"] == sum(line["silent"] < 1 for line in losses) > 0
    weights = "model.safetensors"
    assert (tmp_path / "run" / "model" / weights).read_bytes() == (base / weights).read_bytes()
    (first, *_) = (line for line in lines(tmp_path / "run") if "eval_accuracy" in line)
    assert first["eval_accuracy"] == state["own"]["first_accuracy"] < -1e29
    assert 0 <= first["eval_interval"] < 1e31


def test_a_dead_run_stops_itself_and_says_why(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    never = tmp_path / "never.py"
    never.write_text("def reward(prompt, answer, row):\n    raise KeyError('no such row')\n")
    with pytest.raises(UserError, match=r"The run is dead: in 2 steps .*No (sample is right|answer has the form)"):
        reinforce(
            recipe,
            ["rl.dead_after=2", f"rl.reward={never}"],
            tmp_path / "run",
        )
    said = " ".join(capsys.readouterr().err.split())
    assert "the loss is 0, for 100% of the groups have no signal" in said
    assert said.count("answers get a reward of 0") == 1, "every new cause once"
    assert "evaluation after step 0: 6 answers get a reward of 0: KeyError: 'no such row'" in said
    assert {line["reward_faults"] for line in lines(tmp_path / "run") if "loss" in line} == {16}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["rl.problems.source=nothing.jsonl"], "nothing.jsonl"),
        (["rl.reward=exakt"], "known are exact, number, code, math"),
        (["rl.reward=none.py"], "is no file"),
        (["rl.max_tokens=64"], "more than the model's 64 positions"),
        (["rl.sampels=3"], "rl.sampels is not a key of a recipe. Did you mean 'samples'"),
        (["rl=3"], "rl is 3, which does not fit"),
        (["train.lr=1e-3"], "among others it is a ..stage.. of kind 'rl'"),
        (["rl.sequence_length=6"], "need more than sequence_length = 6"),
        (["rl.loss.algorithm=ppo"], "algorithm"),
        (["model.depth=3"], "keep one of them"),
        (["model.hidden_size=8"], "leave it out"),
        (["model.from=/nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(recipe: Path, tmp_path: Path, settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("'", ".")):
        reinforce(recipe, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_with_its_own_recipe_alone(whole: Path, recipe: Path) -> None:
    with pytest.raises(UserError, match="already holds a run"):
        reinforce(recipe, [], whole)
    with pytest.raises(UserError, match=r"begun with another recipe: stage.0.batch_size, stage.0.samples differ"):
        reinforce(recipe, ["rl.samples=5"], whole, resume=True)


@pytest.mark.slow
def test_killed_at_any_instant_it_resumes_to_the_same_bits_and_books_no_sample_twice(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    """Tokens on the bill are those of a run that nobody disturbed, or fewer: never more."""
    folder = tmp_path / "run"
    assert finish_in_spite_of(recipe, folder, [2, 5, 7], 7) >= 1
    assert lines(folder) == lines(whole)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (whole / weights).read_bytes()
    assert_none_twice(booked(folder), json.loads((whole / "booked.json").read_text()))
