"""A run from weights that exist: an earlier run, a checkpoint of one; its stages in a row, as it names them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.train.made import losses, train

import centime
from centime import recipe as recipes
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.train.folder import Checkpoints

STAGES = """
name = "second"
[model]
from = "{start}"
[[stage]]
kind = "sft"
data = "{corpus}/pairs.jsonl"
sequence_length = 64
lr = {lr}
[[stage]]
kind = "sft"
data = "{corpus}/pairs.jsonl"
sequence_length = 32
epochs = 1
lr = {lr}
[run]
tensorboard = false
checkpoint_every = 1
precision = "fp32"
[optimizer]
weight_decay = 0
"""
TEXT = """
name = "longer"
[model]
from = "{start}"
[data]
train = [{{ path = "{corpus}/train" }}]
[[stage]]
kind = "context"
tokens = 512
sequence_length = 128
batch_size = 2
{more}
"""


def write(folder: Path, text: str, **words: object) -> Path:
    path = folder / "from.toml"
    path.write_text(text.format(**words))
    return path


@pytest.mark.slow
def test_stages_run_in_a_row_from_an_earlier_run(finished: Path, corpus: Path, tmp_path: Path) -> None:
    """At a learning rate of nothing the weights stay; the tokenizer and the generation settings come along."""
    start = tmp_path / "start"
    shutil.copytree(finished / "model", start)
    (start / "generation_config.json").write_text('{"temperature": 0.6, "eos_token_id": [1, 7]}')
    recipe, out = write(tmp_path, STAGES, start=start, corpus=corpus, lr=1e-30), tmp_path / "out"
    assert train(recipe, out) == 0
    before, after = centime.load(start, torch.float32).weights(), centime.load(out).weights()
    assert all(torch.allclose(after[name].float(), tensor, atol=1e-6) for name, tensor in before.items())
    for name in ("tokenizer.json", "chat_template.jinja", "tokenizer_config.json"):
        if (start / name).exists():
            assert (out / "model" / name).read_bytes() == (start / name).read_bytes()
    said = json.loads((out / "model" / "generation_config.json").read_text())
    assert (said["temperature"], said["eos_token_id"]) == (0.6, [1, 7])
    assert list(dict.fromkeys(stage for stage, _, _ in losses(out))) == ["sft-1", "sft-2"]
    with Book() as book:
        bill = json.dumps(bill_of(book, str(out)).as_json())
    assert all(f'"{stage}"' in bill for stage in ("sft-1", "sft-2"))
    shutil.rmtree(out / "model")
    (start / "config.json").unlink()  # what was begun goes on without it
    assert train(out / "recipe.toml", out, resume=True) == 0
    assert (out / "model" / "config.json").exists()


@pytest.mark.slow
def test_a_checkpoint_brings_its_optimizer_to_a_stage_of_text(
    finished: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And YaRN goes on from the positions it was pre-trained at."""
    newest = Checkpoints.newest(finished / "checkpoints")
    assert newest is not None
    recipe = write(tmp_path, TEXT, start=newest, corpus=corpus, more="lr = 1e-4")
    assert train(recipe, tmp_path / "out") == 0
    assert "with its optimizer's moments" in " ".join(capsys.readouterr().err.split())
    yarn = recipes.read(tmp_path / "out" / "recipe.toml").model.rope_scaling
    made = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert yarn is not None
    assert made["rope_scaling"]["original_max_position_embeddings"] == yarn.original_max_position_embeddings == 32
    assert made["rope_scaling"]["factor"] == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("factor = 1.5", r"factor 1\.5 extends 32 positions to 48, fewer than"),
        ("kind2 = 1", "kind2 is not a key"),
    ],
)
def test_what_does_not_fit_the_weights_is_said(
    finished: Path, corpus: Path, tmp_path: Path, more: str, message: str
) -> None:
    recipe = write(tmp_path, TEXT, start=finished, corpus=corpus, more=more)
    with pytest.raises(UserError, match=message):
        train(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_longer_pretraining_is_a_context_extension(finished: Path, corpus: Path, tmp_path: Path) -> None:
    text = TEXT.replace('kind = "context"', 'kind = "pretrain"')
    recipe = write(tmp_path, text.replace("128", "4096"), start=finished, corpus=corpus, more="")
    with pytest.raises(UserError, match=r"sequence_length is 4096, longer than the \d+ positions of .*kind context"):
        train(recipe, tmp_path / "out")


@pytest.mark.slow
def test_a_resume_may_change_its_learning_rate_and_says_so(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the run had stopped at its last checkpoint but one."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "model")
    newest = Checkpoints.newest(out / "checkpoints")
    assert newest is not None
    shutil.rmtree(newest)
    with pytest.raises(UserError, match=r"was begun with another recipe: train\.batch_size differs"):
        train(out, None, "train.batch_size=9", resume=True)
    assert train(out, None, "sft.lr=1e-5", resume=True) == 0
    assert "From here on sft.lr is 1e-05 instead of 0.001." in " ".join(capsys.readouterr().err.split())
    kept = recipes.read(out / "recipe.toml").sft
    assert kept is not None
    assert kept.lr == 1e-5
    [change] = json.loads((out / "run.json").read_text())["changed"]
    assert (change["key"], change["before"], change["after"]) == ("sft.lr", 1e-3, 1e-5)
    assert 0 < change["after_step"] < int(newest.name.removeprefix("step-"))
