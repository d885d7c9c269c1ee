"""The recipe's keys: what one means that is left out, the values that DeepSeek published, and the ends of what fits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from centime import recipe
from centime.errors import UserError
from centime.recipe.toml import MAX_DEPTH
from centime.units import parse_count

LEAST = """
name = "least"
[model]
[data]
tokenizer = "tokenizer"
train = [{ path = "train" }]
"""
# A recipe that was written without them meant these, and means them still.
LEFT_OUT = {
    "seed": 0,
    "train.tokens": None, "train.sequence_length": 256, "train.batch_size": 32, "train.lr": 1e-3,
    "train.warmup_steps": 0, "train.constant_until": 0.0, "train.cosine_until": 1.0, "train.batch_size_start": None,
    "train.bias_update_until": 1.0, "train.mtp_weight_until": 10 / 14.8, "train.batch_ramp_until": 0.0,
    "optimizer.name": "adamw", "optimizer.eps": 1e-8, "optimizer.muon_steps": "v4",
    "run.precision": "auto", "run.micro_batch": None, "run.activation_checkpointing": False, "run.compile": False,
    "run.deterministic": True, "run.checkpoint_every": 200, "run.keep": 2, "run.evaluate_every": 200,
    "run.evaluate_rows": 32, "run.tensorboard": True, "run.nonfinite_limit": 5,
}  # fmt: skip
# Of a scale of their own, which a small model does not share.
SCALED = {"batch_size", "lr", "warmup_steps", "tokens", "batch_size_start", "eps", "factor", "sequence_length"}


def at(read: recipe.Recipe, key: str) -> Any:
    found: Any = read
    for part in key.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return found


def test_a_key_that_is_left_out_means_what_it_always_meant() -> None:
    read = recipe.parse(LEAST)
    assert {key: at(read, key) for key in LEFT_OUT} == LEFT_OUT


@pytest.mark.parametrize("section", [recipe.Pretrain, recipe.Context, recipe.Optimizer])
def test_defaults_that_are_deepseeks_are_what_deepseek_published(section: type[recipe.RecipeSection]) -> None:
    """The descriptions cite the reports; of V3 where V4 says nothing else."""
    seen = 0
    for name, field in section.model_fields.items():
        cited = re.search(r"\(V[34]: (?P<value>[\d.e-]+)[),]", field.description or "")
        if cited and name not in SCALED and isinstance(field.default, float):
            assert field.default == parse_count(cited["value"]), name
            seen += 1
    assert seen >= 3


def test_later_stages_keep_the_balance_that_pretraining_ended_with() -> None:
    first, context, tuned = recipe.Pretrain(), recipe.Context(tokens=1.0, sequence_length=512), recipe.Sft(data="a")
    assert tuned.epochs == 2  # V3's
    assert context.mtp_weight == tuned.mtp_weight == first.mtp_weight_end
    assert context.bias_update_speed == tuned.bias_update_speed == 0


@pytest.mark.parametrize(
    ("key", "fit", "do_not"),
    [
        ("train.batch_size", ["1", "16777216"], ["0", "16777217"]),
        ("train.lr", ["1e-9"], ["0"]),
        ("train.warmup_steps", ["0"], ["-1"]),
        ("train.lr_end_ratio", ["0", "1"], ["-0.1", "1.1"]),
        ("train.bias_update_speed", ["0"], ["-1e-9"]),
        ("train.balance_loss", ["0"], ["-1e-9"]),
        ("train.mtp_weight", ["0"], ["-1e-9"]),
        ("train.mtp_weight_end", ["0"], ["-1e-9"]),
        ("optimizer.beta1", ["0", "0.999"], ["-0.1", "1"]),
        ("optimizer.beta2", ["0", "0.999"], ["-0.1", "1"]),
        ("optimizer.muon_momentum", ["0", "0.999"], ["-0.1", "1"]),
        ("optimizer.eps", ["1e-30", "1"], ["1e-31", "1.1"]),
        ("optimizer.weight_decay", ["0"], ["-0.1"]),
        ("optimizer.clip", ["1e-3", "1e30"], ["0", "1e31"]),
        ("optimizer.muon_update_rms", ["1e-9"], ["0"]),
        ("run.micro_batch", ["1"], ["0"]),
        ("run.checkpoint_every", ["1"], ["0"]),
        ("run.keep", ["1"], ["0"]),
        ("run.evaluate_every", ["1"], ["0"]),
        ("run.evaluate_rows", ["1"], ["0"]),
        ("run.nonfinite_limit", ["1"], ["0"]),
        ("seed", ["0"], ["-1"]),
    ],
)
def test_the_ends_of_what_fits(key: str, fit: list[str], do_not: list[str]) -> None:
    for value in fit:
        assert at(recipe.parse(LEAST, [f"{key}={value}"]), key) == float(value)
    for value in do_not:
        with pytest.raises(UserError, match=key):
            recipe.parse(LEAST, [f"{key}={value}"])


def test_a_factor_may_be_one_and_just_long_enough() -> None:
    longer = ["context.tokens=1", "context.sequence_length=512"]
    assert recipe.parse(LEAST, [*longer, "context.factor=2"]).context[0].factor == 2
    with pytest.raises(UserError, match="factor"):
        recipe.parse(LEAST, [*longer, "context.factor=1.99"])
    same = ["context.tokens=1", "context.sequence_length=256"]
    assert recipe.parse(LEAST, [*same, "context.factor=1"]).context[0].factor == 1


def test_a_stage_is_no_shorter_than_any_before_it() -> None:
    lines = "\n[[context]]\ntokens = 5\nsequence_length = 1024\n[[context]]\ntokens = 5\nsequence_length = 512\n"
    with pytest.raises(UserError, match="512, shorter than the 1024 tokens"):
        recipe.parse(LEAST + lines)


def test_a_ramp_has_both_its_ends() -> None:
    both = recipe.parse(LEAST, ["train.batch_size_start=4", "train.batch_ramp_until=0.5"])
    assert (both.train.batch_size_start, both.train.batch_ramp_until) == (4, 0.5)
    with pytest.raises(UserError, match="belong together"):
        recipe.parse(LEAST, ["train.batch_ramp_until=0.5"])


def test_a_key_has_as_many_parts_as_a_tree_is_deep() -> None:
    with pytest.raises(UserError, match=f"{MAX_DEPTH + 1} parts is none"):
        recipe.parse(LEAST, [".".join(["a"] * (MAX_DEPTH + 1)) + "=1"])
    with pytest.raises(UserError, match="a is not a key of a recipe"):
        recipe.parse(LEAST, [".".join(["a"] * MAX_DEPTH) + "=1"])


@pytest.mark.parametrize("depth", [2, 17])
def test_a_depth_is_a_start_and_what_stands_beside_it_replaces(depth: int) -> None:
    read = recipe.parse(LEAST, [f"model.depth={depth}", "model.hidden_size=320"]).model
    assert read.num_hidden_layers == depth
    assert read.hidden_size == 320
    for value in (1, 18):
        with pytest.raises(UserError, match="from 2 to 17"):
            recipe.parse(LEAST, [f"model.depth={value}"])


def test_two_starts_are_one_too_many_and_deepseeks_vocabulary_is_its_own() -> None:
    with pytest.raises(UserError, match="both stated"):
        recipe.parse(LEAST, ["model.depth=2", "model.preset=deepseek-v3"])
    v3 = recipe.parse(LEAST, ["model.preset=deepseek-v3"]).model
    ours = recipe.parse(LEAST, ["model.preset=centime-d2"]).model
    assert (v3.vocab_size, ours.vocab_size) == (129_280, recipe.parse(LEAST).model.vocab_size)


def test_a_written_recipe_says_every_key_with_its_description() -> None:
    text = recipe.write(recipe.parse(LEAST, ["context.tokens=1", "context.sequence_length=512", "run.compile=true"]))
    assert re.search(r"^compile = true +# torch\.compile each block", text, re.MULTILINE)
    assert re.search(r"^micro_batch = \"none\" +# ", text, re.MULTILINE)
    assert "\n\n[[context]]  # context extension, after pre-training\n" in text
    assert text.startswith('name = "least"')
    tables = [line for line in text.splitlines() if line.startswith("[")]
    assert tables == sorted(set(tables), key=tables.index)
