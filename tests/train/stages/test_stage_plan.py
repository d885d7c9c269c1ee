"""A recipe as stages: what follows from the tokenizer and from the stages before, and where each begins to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime import recipe as recipes
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.errors import UserError
from centime.plan.counts import count
from centime.recipe import Recipe
from centime.train.kinds import KINDS
from centime.train.stages import StagePlan, TextRows, plan_stages, resolve


@pytest.fixture
def tokenizer(corpus: Path) -> Tokenizer:
    return load_tokenizer(corpus / "tokenizer")


@pytest.fixture
def recipe(small: Path) -> Recipe:
    return recipes.read(small)


def test_a_recipe_without_tokens_takes_twenty_a_parameter(recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Of those that compute: DeepMind's Chinchilla (arXiv 2203.15556), without the embedding."""
    section = recipe.train.model_copy(update={"tokens": None})
    resolved = resolve(recipe.model_copy(update={"train": section}), tokenizer)
    counts = count(resolved.model, recipe.train.sequence_length)
    assert resolved.train.tokens == 20 * counts.active_params_without_embedding
    assert resolve(recipe, tokenizer).train.tokens == recipe.train.tokens


@pytest.mark.parametrize(("tokens", "rows"), [(399, 448), (400, 448), (447, 448), (448, 448), (449, 512)])
def test_a_vocabulary_fills_whole_tiles(recipe: Recipe, tokenizer: Tokenizer, tokens: int, rows: int) -> None:
    tokenizer.vocab_size = tokens
    assert resolve(recipe, tokenizer).model.vocab_size == rows


def test_a_stated_vocabulary_holds_the_tokenizers(recipe: Recipe, tokenizer: Tokenizer) -> None:
    for stated in (400, 401):
        model = recipe.model.model_copy(update={"vocab_size": stated})
        assert resolve(recipe.model_copy(update={"model": model}), tokenizer).model.vocab_size == stated
    model = recipe.model.model_copy(update={"vocab_size": 399})
    with pytest.raises(UserError, match=r"vocab_size is 399 and the tokenizer .* has 400 tokens"):
        resolve(recipe.model_copy(update={"model": model}), tokenizer)


def test_pairs_are_no_longer_than_what_the_model_has_learnt(recipe: Recipe, tokenizer: Tokenizer) -> None:
    def of(length: int, **more: object) -> Recipe:
        assert recipe.sft is not None
        section = recipe.sft.model_copy(update={"sequence_length": length})
        return resolve(recipe.model_copy(update={"sft": section, **more}), tokenizer)

    assert of(64).sft is not None
    with pytest.raises(UserError, match="longer than the 64 tokens"):
        of(65)
    assert of(32, context=[]).sft is not None
    with pytest.raises(UserError, match="longer than the 32 tokens"):
        of(33, context=[])


def test_each_stage_takes_its_share_and_goes_on_where_the_last_one_stopped(
    recipe: Recipe, tokenizer: Tokenizer
) -> None:
    resolved = resolve(recipe, tokenizer)

    def sizes(plans: list[StagePlan]) -> list[float]:
        return [float(plan.schedule.rows.sum()) * plan.stage.sequence_length for plan in plans]

    whole, half = plan_stages(resolved, tokenizer, KINDS), plan_stages(resolved, tokenizer, KINDS, [0.5, 0.25, 0.5])
    assert [plan.name for plan in whole] == ["pretrain", "context", "sft"]
    assert [plan.keep_moments for plan in whole] == [False, True, False]
    assert sizes(whole) == pytest.approx([4096, 1024, 2 * 24 * 64], rel=0.05), "whole steps"
    assert sizes(half) == pytest.approx([2048, 256, 24 * 64], rel=0.1)
    assert sizes(plan_stages(resolved, tokenizer, KINDS, [0.0, 0.0, 0.0])) == [4 * 32, 4 * 64, 8 * 64], (
        "a step at least"
    )
    two = resolved.model_copy(update={"context": [*resolved.context, *resolved.context]})
    names = [plan.name for plan in plan_stages(two, tokenizer, KINDS)]
    assert names == ["pretrain", "context-1", "context-2", "sft"]
    assert whole[0].bytes_per_token is not None
    assert whole[2].bytes_per_token is None
    trained = count(whole[0].config, 32)
    assert whole[0].flops_per_token == trained.train_flops_per_token_with_mtp


def test_a_steps_rows_are_shared_among_the_ranks(recipe: Recipe, tokenizer: Tokenizer) -> None:
    for plan in plan_stages(resolve(recipe, tokenizer), tokenizer, KINDS):
        alone, parts = plan.steps(0, 1).batch(2), [plan.steps(rank, 3).batch(2) for rank in range(3)]
        assert [row for part in parts for row in part.rows.tolist()] == alone.rows.tolist()
        assert max(len(part.rows) for part in parts) == -(-len(alone.rows) // 3), "no rank has more than its share"
        assert len(alone.rows) == alone.sequences == int(plan.schedule.rows[2])
        if isinstance(plan.rows, TextRows):
            ahead = 1 + plan.config.num_nextn_predict_layers  # the targets, and those of MTP
            assert alone.rows.shape[1] == plan.stage.sequence_length + ahead
            assert alone.tokens == alone.loss_tokens == alone.sequences * plan.stage.sequence_length
        for part in parts:
            assert (part.loss_tokens, part.sequences, part.tokens) == (
                alone.loss_tokens, alone.sequences, alone.tokens,
            )  # fmt: skip
