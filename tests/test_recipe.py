"""The recipe: round trip, overrides, and refusals that name the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime import recipe
from centime.errors import UserError

TEXT = """
name = "small"
[model]
num_hidden_layers = 2
[data]
tokenizer = "corpus/tokenizer"
train = [{ path = "corpus/train" }]
[train]
tokens = "2M"
constant_until = "1.5M"
[context]
tokens = 100_000
"""


def test_written_recipe_reads_back_equal() -> None:
    first = recipe.parse(TEXT, ["model.kv_lora_rank=none", "model.qk_nope_head_dim=0", "model.v_head_dim=16"])
    assert recipe.parse(recipe.write(first)) == first
    assert first.model.kv_lora_rank is None
    assert first.train.tokens == 2_000_000
    assert first.train.constant_until == 1_500_000


def test_every_key_of_ours_is_documented() -> None:
    def undocumented(section: type[recipe.Section], path: str) -> list[str]:
        return [f"{path}.{name}" for name, field in section.model_fields.items() if not field.description]

    sections = (
        recipe.Source,
        recipe.Pretrain,
        recipe.Context,
        recipe.Sft,
        recipe.Optimizer,
        recipe.Run,
        recipe.Plateau,
    )
    assert [name for section in sections for name in undocumented(section, section.__name__)] == []


@given(lr=st.floats(1e-8, 10), seed=st.integers(0, 2**31), warmup=st.integers(0, 10**6))
def test_overrides_survive_the_round_trip(lr: float, seed: int, warmup: int) -> None:
    read = recipe.parse(TEXT, [f"train.lr={lr!r}", f"seed={seed}", f"train.warmup_steps={warmup}"])
    assert (read.train.lr, read.seed, read.train.warmup_steps) == (lr, seed, warmup)
    assert recipe.parse(recipe.write(read)) == read


def test_one_context_table_and_a_numbered_one_take_overrides() -> None:
    assert recipe.parse(TEXT, ["context.lr=1e-4"]).context[0].lr == 1e-4
    two = TEXT.replace("[context]", "[[context]]") + "\n[[context]]\ntokens = 5\n"
    assert recipe.parse(two, ["context.1.lr=2e-5"]).context[1].lr == 2e-5
    with pytest.raises(UserError, match="not one of the 2 items"):
        recipe.parse(two, ["context.7.lr=2e-5"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rat=1", r"train\.learning_rat is not a key"),
        ("train.warmup_step=1", r"Did you mean 'warmup_steps'"),
        ("model.num_layers=3", r"Did you mean 'num_hidden_layers'"),
        ("optimiser.name=muon", r"Did you mean 'optimizer'"),
        ("context.sequence_lenght=9", r"Did you mean 'sequence_length'"),
        ("train.lr=fast", r"train\.lr is 'fast'"),
        ("train.lr=-1", r"greater than 0"),
        ("optimizer.name=adam", r"'adamw' or 'muon'"),
        ("train.batch_size=2.5", r"train\.batch_size is 2\.5"),
        ("train.tokens=many", r"not a quantity"),
        ("data.train=[]", r"data\.train"),
        ("model.num_experts_per_tok=99", r"more than the 16 experts"),
        ("model.preset=deepseek-v33", r"deepseek-v3"),
        ("train.lr", r"not of the form"),
        ("seed.x=1", r"is a value, not a section|valid integer"),
    ],
)
def test_refusals_are_sentences(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe.parse(TEXT, [override])


def test_missing_file_and_broken_toml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        recipe.read(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = \n")
    with pytest.raises(UserError, match=r"broken\.toml is not TOML.*line 1"):
        recipe.read(broken)


def test_shipped_recipes_are_valid(root: Path) -> None:
    found = sorted((root / "recipes").glob("*.toml"))
    assert found
    for path in found:
        assert recipe.parse(recipe.write(recipe.read(path))) == recipe.read(path)
