"""Whole runs: every stage, the run folder, budgets, bad steps, full disks, and what is refused before a step."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.train.made import RECIPE, losses, metrics, train, write_recipe

import centime
from centime import recipe as recipes
from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.session import Session
from centime.train.engine import Ranks, StepResult, Trainer
from centime.train.run import setup as setup_file
from centime.train.stages import Batch, StepSettings


def test_a_damaged_shard_with_ids_beyond_the_vocabulary_is_a_sentence(
    small: Path, corpus: Path, tmp_path: Path
) -> None:
    bad = shutil.copytree(corpus / "train", tmp_path / "bad")
    shard = bad / "tokens-00000.bin"
    shard.write_bytes(b"\xff" * shard.stat().st_size)
    with pytest.raises(UserError, match="holds token 65535, beyond its vocabulary"):
        train(small, tmp_path / "run", f"data.train=[{{path='{bad}'}}]")
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        ("{corpus}", "never trained on"),
        ("{corpus}/holdout/../train", "never trained on"),
        ("{corpus}/absent", "absent is no prepared data"),
        ("{corpus}/tokenizer", "tokenizer is no prepared data"),
        ("{other}", "was tokenised with another tokenizer"),
    ],
)
def test_held_out_shards_that_are_none_are_refused_before_a_step(
    held_out: str, said: str, small: Path, corpus: Path, tmp_path: Path
) -> None:
    """A whole preparation means its train/."""
    other = shutil.copytree(corpus / "holdout", tmp_path / "other")
    index = json.loads((other / "index.json").read_text())
    (other / "index.json").write_text(json.dumps(index | {"tokenizer_sha256": "0" * 64}))
    with pytest.raises(UserError, match=said):
        train(small, tmp_path / "run", f"data.held_out=[{{path='{held_out.format(corpus=corpus, other=other)}'}}]")
    assert list(tmp_path.iterdir()) == [other]


def test_the_folder_of_a_finished_run(finished: Path, small: Path, corpus: Path) -> None:
    recipe = recipes.read(finished / "recipe.toml")
    assert recipe.model.vocab_size == 448  # the tokenizer's 400, rounded up
    info = json.loads((finished / "run.json").read_text())
    assert info["versions"]["torch"] == str(torch.__version__)
    assert info["versions"]["git_revision"]
    assert {line["stage"] for line in metrics(finished)} == {"pretrain", "context", "sft"}
    samples = [json.loads(line) for line in (finished / "samples.jsonl").read_text().splitlines()]
    assert [sample["stage"] for sample in samples] == ["pretrain", "context", "sft"]
    assert "+" in samples[2]["prompt"]
    model = centime.load(finished / "model")
    assert model.config.rope_scaling is not None
    assert model.config.rope_scaling.factor == 2
    assert model.config.max_position_embeddings == 64
    assert load_tokenizer(finished / "model").sha256 == load_tokenizer(corpus / "tokenizer").sha256
    steps = sorted((finished / "checkpoints").iterdir())
    assert [path.name for path in steps][-1] == f"step-{metrics(finished)[-1]['global_step']:08d}"
    assert len(steps) == 2


def test_metrics_say_what_the_bar_shows(finished: Path) -> None:
    steps = [line for line in metrics(finished) if "loss" in line]
    assert [line["global_step"] for line in steps] == list(range(1, len(steps) + 1))
    first = [line for line in steps if line["stage"] == "pretrain"]
    for key in (
        "bits_per_byte",
        "mfu",
        "max_violation",
        "cost",
        "projected_cost",
        "tokens_per_s",
        "seconds_left",
        "lr",
    ):
        assert all(math.isfinite(line[key]) and line[key] >= 0 for line in first), key
    assert first[0]["expert_load"]
    assert [len(layer) for layer in first[0]["expert_load"]] == [4, 4]
    evaluations = [line for line in metrics(finished) if "eval_loss" in line]
    assert [line["step"] for line in evaluations if line["stage"] == "pretrain"] == [5, 10, 15, len(first)]
    ratio = first[0]["bits_per_byte"] / first[0]["main_loss"]
    assert evaluations[0]["eval_bits_per_byte"] / evaluations[0]["eval_loss"] == pytest.approx(ratio, rel=0.1)
    assert evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"]


def test_the_bill_has_the_stages_and_the_plan(finished: Path) -> None:
    made = json.loads((finished / "bill.json").read_text())
    tokens = {line["stage"]: line["tokens"] for line in made["lines"] if line["tokens"]}
    trained = {line["stage"]: line["tokens"] for line in metrics(finished)}
    assert tokens["pretrain"] == trained["pretrain"]
    assert tokens["context"] == trained["context"] - trained["pretrain"]
    assert tokens["sft"] == trained["sft"] - trained["context"]
    assert made["plan"]["predicted"]["tokens"] == pytest.approx(sum(tokens.values()), rel=0.05)
    assert set(made["plan"]["predicted"]["stages"]) == {"pretrain", "context", "sft"}


def test_skipped_steps_are_counted_and_too_many_stop_the_run(small: Path, tmp_path: Path) -> None:
    """A learning rate that destroys the weights: skipped steps, then a sentence that names the trouble."""
    with pytest.raises(
        UserError, match=r"3 steps in a row were not finite.*(layers|embed|head|norm|mtp).*[Ll]ower the stage's lr"
    ):
        train(
            small,
            tmp_path / "run",
            "train.lr=1e6",
            "train.warmup_steps=0",
            "run.nonfinite_limit=3",
        )
    assert [line.get("skipped", False) for line in metrics(tmp_path / "run")[-3:]] == [True] * 3


def test_one_bad_step_is_passed_over(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = Trainer.step, [0]

    def step(self: Trainer, batch: Batch, settings: StepSettings) -> StepResult:
        seen[0] += bool(settings.lr)
        if seen[0] == 6 and settings.lr:
            batch = Batch(batch.rows, 1e-300, batch.sequences, batch.tokens, batch.weights, batch.lengths)
        return real(self, batch, settings)

    monkeypatch.setattr(Trainer, "step", step)
    assert train(small, tmp_path / "run") == 0
    assert [line["step"] for line in metrics(tmp_path / "run") if line.get("skipped")] == [6]


def test_a_budget_in_tokens_is_a_ceiling_with_the_whole_recipe_in_small(small: Path, tmp_path: Path) -> None:
    assert train(small, tmp_path / "run", budget="4K-tokens") == 0
    lines = [line for line in metrics(tmp_path / "run") if "loss" in line]
    assert lines[-1]["tokens"] <= 4000
    assert {line["stage"] for line in lines} == {"pretrain", "context", "sft"}
    pretrain = [line["lr"] for line in lines if line["stage"] == "pretrain"]
    assert max(pretrain) == 3e-3
    assert pretrain[-1] < 1e-3


@pytest.mark.parametrize("length", [2, 16])
def test_a_run_of_short_sequences_ends_in_a_model_that_answers(corpus: Path, tmp_path: Path, length: int) -> None:
    """Its context is as short, and the sample at the stage's end needs a cache of it."""
    recipe = write_recipe(tmp_path, corpus, RECIPE[: RECIPE.index("[context]")])
    settings = ("train.tokens=512", f"train.sequence_length={length}", "run.tensorboard=false")
    assert train(recipe, tmp_path / "run", *settings) == 0
    (sample,) = [json.loads(line) for line in (tmp_path / "run/samples.jsonl").read_text().splitlines()]
    assert sample["stage"] == "pretrain"
    model = centime.load(tmp_path / "run/model").eval()
    assert model.config.max_position_embeddings == length
    session = Session(model, load_tokenizer(tmp_path / "run/model"))
    assert len(session.answer([5], SamplingParams(temperature=0, ignore_eos=True)).tokens) == length - 1


@pytest.mark.parametrize(("rank", "asked"), [(0, True), (1, False)])
def test_the_first_rank_asks_whether_the_disk_has_room_where_the_run_will_be(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, asked: bool
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(setup_file, "require_disk", lambda folder, *_: seen.append(folder))
    monkeypatch.setattr(setup_file, "ranks", lambda: Ranks(rank, 1, 0))
    setup_file.Setup(recipes.read(small), tmp_path / "new" / "run", False, None, "$1/h")
    assert seen == [tmp_path] * asked
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_no_family_computes_is_refused_before_the_first_step(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No published family computes this model.*sigmoid with topk_method greedy"):
        train(small, tmp_path / "run", "model.topk_method=greedy")
    assert not (tmp_path / "run").exists()


def test_muon_fp32_and_recompute_run_whole(small: Path, tmp_path: Path) -> None:
    settings = (
        "optimizer.name=muon",
        "run.precision=fp32",
        "run.activation_checkpointing=true",
        "run.tensorboard=true",
    )
    assert train(small, tmp_path / "run", *settings) == 0
    shown = [event.name for event in (tmp_path / "run/tensorboard").iterdir()]
    assert shown == ["run"]  # what TensorBoard calls the run
    written = b"".join(path.read_bytes() for path in (tmp_path / "run/tensorboard/run").glob("events*"))
    charts = set(re.findall(rb"(?:train|held-out)/[a-z_]+", written))
    assert {b"held-out/eval_loss", b"train/loss", b"train/cost"} <= charts
    assert not {name for name in charts if name.split(b"/")[1] in {b"tokens", b"eval_tokens", b"step", b"seconds_left"}}
    assert centime.load(tmp_path / "run/model").embed.weight.dtype == torch.float32
    first, *_, last = [
        line["loss"] for line in metrics(tmp_path / "run") if line["stage"] == "pretrain" and "loss" in line
    ]
    assert last < first


@pytest.mark.slow
def test_a_full_disk_costs_checkpoints_and_not_the_run(small: Path, tmp_path: Path) -> None:
    """Files may grow to 400 KiB, a checkpoint takes 600: the run ends, and says every time what it could not save."""
    line = shlex.join(
        [sys.executable, "-m", "centime", "train", str(small), "--out", str(tmp_path / "run"), "--price=$1/h"]
    )
    done = subprocess.run(["bash", "-c", f"ulimit -f 400; {line}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "The checkpoint of step 4 was not saved (the disk is full;" in said
    assert "there is none before it" in said
    assert not list((tmp_path / "run/checkpoints").iterdir())
    assert centime.load(tmp_path / "run/model").config.vocab_size == 448


def test_missing_parts_are_named(corpus: Path, tmp_path: Path) -> None:
    def refused(match: str, *settings: str, text: str = RECIPE) -> None:
        with pytest.raises(UserError, match=match):
            train(write_recipe(tmp_path, corpus, text), tmp_path / "run", *settings)
        assert not (tmp_path / "run").exists()

    refused("no prepared data", 'data.train=[{path="nowhere"}]')
    refused("no tokenizer folder", "data.tokenizer=nowhere")
    refused("vocab_size is 300.*400", "model.vocab_size=300")
    refused("longer than the 64 tokens", "sft.sequence_length=65")
    refused("out of order|in order", "train.constant_until=0.9", "train.cosine_until=0.5")
    refused("nowhere.jsonl", "sft.data=nowhere.jsonl")


@pytest.mark.long
def test_compiled_blocks_run_whole(small: Path, finished: Path, tmp_path: Path) -> None:
    """Minutes of compilation; the losses are those of the plain run, up to rounding."""
    assert train(small, tmp_path / "run", "run.compile=true", "run.precision=fp32") == 0
    for (stage, step, a), (other, at, b) in zip(losses(tmp_path / "run"), losses(finished), strict=True):
        assert (stage, step) == (other, at)
        assert a == pytest.approx(b, rel=0.03)
