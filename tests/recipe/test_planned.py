"""What a recipe asks of the planner: its stages in steps, its model as it is written, and what it leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from centime.recipe.planned import planned

TEXT = """
name = "small"
[model]
num_hidden_layers = 2
vocab_size = 512
[data]
tokenizer = "corpus/tokenizer"
train = [{ path = "corpus/train" }]
[train]
tokens = "2M"
sequence_length = 256
batch_size = 16
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


def test_pretraining_is_asked_for_as_it_is_written(path: Path) -> None:
    path.write_text(TEXT)
    found = planned(path)
    assert json.loads(found.pop("model")) == {"num_hidden_layers": 2, "vocab_size": 512}
    assert found == {
        "tokens": 2_000_000, "seq": 256, "global_batch": 16, "extension": [], "post_hours": 0.0, "optimizer": "adamw",
        "vocabulary": None, "tuned": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "steps"), [(512 * 8 * 30, 30), (512 * 8 * 30 + 2000, 30), (512 * 8 * 30 + 2100, 31), (512, 1)]
)
def test_a_longer_stage_has_as_many_steps_as_its_tokens_make(path: Path, tokens: int, steps: int) -> None:
    path.write_text(f"{TEXT}[context]\ntokens = {tokens}\nsequence_length = 512\nbatch_size = 8\n")
    assert planned(path)["extension"] == [{"seq": 512, "global_batch": 8, "steps": steps}]


def test_a_vocabulary_that_is_its_tokenizers_and_pairs_that_are_not_read_are_told(path: Path) -> None:
    text = TEXT.replace("vocab_size = 512\n", "")
    path.write_text(f'{text}[sft]\ndata = "pairs.jsonl"\n[optimizer]\nname = "muon"\n')
    found = planned(path)
    assert (found["vocabulary"], found["tuned"], found["optimizer"]) == (4096, True, "muon")
