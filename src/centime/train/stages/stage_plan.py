"""A recipe as stages that can be run: the model's configuration, the steps and the rows of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.data.loader import ORDER
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.plan.counts import count
from centime.recipe import Context, Recipe, StageSection
from centime.train.stages.batches import PairRows, StageRows, TextRows, pair_rows
from centime.train.stages.schedule import Schedule, make_schedule

VOCABULARY_MULTIPLE = (
    64  # unstated vocab_size is the tokenizer's, rounded up to whole GEMM tiles (V3: 128,815 to 129,280)
)
CHINCHILLA = 20  # tokens a parameter, where neither the recipe nor a budget says more (arXiv 2203.15556)


@dataclass(frozen=True)
class StagePlan:
    """One stage, ready to run."""

    name: str  # as on the bill: pretrain, context (context-1, ...), sft
    stage: StageSection
    config: ModelConfig
    schedule: Schedule
    rows: TextRows | PairRows
    keep_moments: bool  # whether the optimizer goes on from the stage before
    order: int  # of the rows, as Loader has it

    @property
    def flops_per_token(self) -> float:
        """Model FLOPs of training one token, MTP included where it is trained (recompute never counts)."""
        counts = count(self.config, round(self.rows.tokens_per_row))
        return counts.train_flops_per_token_with_mtp if self.stage.mtp_weight else counts.train_flops_per_token

    @property
    def tokens(self) -> int:
        """Tokens that the stage will train on, padding left out."""
        return round(float(self.schedule.rows.sum()) * self.rows.tokens_per_row)

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text behind a token of the training data; None for pairs."""
        return self.rows.bytes_per_token if isinstance(self.rows, TextRows) else None

    def steps(self, rank: int, world: int) -> StageRows:
        """The stage's rows as a rank takes them."""
        return StageRows(self.rows, self.schedule, rank, world)


def resolve(recipe: Recipe, tokenizer: Tokenizer) -> Recipe:
    """The recipe with everything filled in that follows from the tokenizer and the stages.

    Raises UserError where the model's vocabulary is smaller than the tokenizer's, or a stage is longer than it can be.
    """
    model = recipe.model
    if "vocab_size" not in model.model_fields_set:
        vocabulary = -(-tokenizer.vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    elif model.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"model.vocab_size is {model.vocab_size} and the tokenizer {recipe.data.tokenizer} has "
            f"{tokenizer.vocab_size} tokens; leave vocab_size out of [model], or train a smaller tokenizer."
        )
    else:
        vocabulary = model.vocab_size
    longest = max(recipe.train.sequence_length, *(context.sequence_length for context in recipe.context), 0)
    if recipe.sft is not None and recipe.sft.sequence_length > longest:
        raise UserError(
            f"sft.sequence_length is {recipe.sft.sequence_length}, longer than the {longest} tokens the model learns "
            "before it; lower it, or add a [context] stage of that length."
        )
    fields = model.model_dump() | {
        "vocab_size": vocabulary,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "max_position_embeddings": recipe.train.sequence_length,
    }
    resolved = recipe.model_copy(update={"model": ModelConfig.model_validate(fields)})
    if recipe.train.tokens is None:
        counts = count(resolved.model, recipe.train.sequence_length)
        tokens = CHINCHILLA * counts.active_params_without_embedding
        resolved = resolved.model_copy(update={"train": recipe.train.model_copy(update={"tokens": tokens})})
    return resolved


def stage_configs(recipe: Recipe) -> list[ModelConfig]:
    """The model's configuration in pre-training, each context stage and sft; they differ by YaRN and length alone.

    With context stages, pre-training runs without YaRN (V3 section 4.3); the parameters of model.rope_scaling, if
    stated, are those of the extension.
    """
    base, stated = recipe.model, recipe.model.rope_scaling
    original = recipe.train.sequence_length
    configs = [base.model_copy(update={"rope_scaling": None}) if recipe.context else base]
    for context in recipe.context:
        factor = context.factor or (stated.factor if stated else context.sequence_length / original)
        yarn = (stated or YarnScaling()).model_copy(
            update={"factor": factor, "original_max_position_embeddings": original}
        )
        positions = max(context.sequence_length, round(factor * original))
        configs.append(base.model_copy(update={"rope_scaling": yarn, "max_position_embeddings": positions}))
    if recipe.sft is not None:
        configs.append(configs[-1])
    return configs


def plan_stages(
    recipe: Recipe,
    tokenizer: Tokenizer,
    factors: Sequence[float] | None = None,
    order: int = ORDER,
    pairs: PairRows | None = None,
) -> list[StagePlan]:
    """The stages of a resolved recipe, each of its factor times its stated tokens; the rows come in this order.

    pairs: those of its sft, where they have been read before, which takes seconds.

    The order depends on the stated tokens and not on the factors, which change while a stage with a budget runs. Opens
    the data. Raises UserError where it is missing, empty or made with another tokenizer.
    """
    configs = stage_configs(recipe)
    depth, seed = recipe.model.num_nextn_predict_layers, recipe.seed
    assert recipe.train.tokens is not None
    plans: list[StagePlan] = []
    position: tuple[int, ...] | None = None
    text: list[StageSection] = [recipe.train, *recipe.context]
    for i, stage in enumerate(text):
        tokens = stage.tokens if isinstance(stage, Context) else recipe.train.tokens
        stated = int(make_schedule(stage, tokens).rows.sum())
        rows = TextRows(recipe.data.train, stage.sequence_length, seed, depth, position, stated, order)
        rows.loader.require_tokenizer(tokenizer)
        schedule = make_schedule(stage, tokens, max(1, round(tokens * (factors[i] if factors else 1))))
        position = rows.loader.position(int(schedule.rows.sum()))
        name = "pretrain" if i == 0 else "context" if len(text) == 2 else f"context-{i}"
        plans.append(StagePlan(name, stage, configs[i], schedule, rows, i > 0, order))
    if recipe.sft is not None:
        pairs = pairs or pair_rows(recipe.sft, tokenizer, seed, depth)
        tokens = round(recipe.sft.epochs * pairs.loader.pairs * recipe.sft.sequence_length)
        schedule = make_schedule(recipe.sft, tokens, max(1, round(tokens * (factors[-1] if factors else 1))))
        plans.append(StagePlan("sft", recipe.sft, configs[-1], schedule, pairs, False, order))
    return plans
