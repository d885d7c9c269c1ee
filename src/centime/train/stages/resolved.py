"""A recipe with everything filled in that follows from the tokenizer, the stages and the weights it starts from."""

from __future__ import annotations

from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.plan.counts import count
from centime.recipe import Context, Pretrain, Recipe, Rl

VOCABULARY_MULTIPLE = (
    64  # unstated vocab_size is the tokenizer's, rounded up to whole GEMM tiles (V3: 128,815 to 129,280)
)
CHINCHILLA = 20  # tokens a parameter, where neither the recipe nor a budget says more (arXiv 2203.15556)


def resolve(recipe: Recipe, tokenizer: Tokenizer, origin: ModelConfig | None = None) -> Recipe:
    """The recipe with every size and amount; origin: the configuration of the weights it starts from.

    Raises UserError where the model's vocabulary is smaller than the tokenizer's, or a stage is longer than it can be.
    """
    stated = recipe.model.model_dump(exclude_unset=True)
    fields = recipe.model.model_dump() if origin is None else origin.model_dump() | stated
    fields["vocab_size"] = _vocabulary(recipe, tokenizer, origin)
    positions = _positions(recipe) if origin is None else fields["max_position_embeddings"]
    _require_lengths(recipe, positions, origin)
    fields |= {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "max_position_embeddings": positions,
    }
    model = ModelConfig.model_validate(fields)
    data = recipe.data.model_copy(update={"tokenizer": tokenizer.folder})
    resolved = recipe.model_copy(update={"model": model, "data": data})
    if recipe.lora is not None:
        resolved = _frozen(resolved)
    first = recipe.stages[0][1]
    if isinstance(first, Pretrain) and first.tokens is None:
        tokens = CHINCHILLA * count(model, first.sequence_length).active_params_without_embedding
        resolved = resolved.with_first(first.model_copy(update={"tokens": tokens}))
    return resolved


def _frozen(recipe: Recipe) -> Recipe:
    """A recipe of adapters: MTP modules and routing biases stay as the model has them, so no loss is for them."""
    still = {"mtp_weight": 0.0, "mtp_weight_end": 0.0, "bias_update_speed": 0.0}
    one = {key: getattr(recipe, key).model_copy(update=still) for key in ("train", "sft") if getattr(recipe, key)}
    return recipe.model_copy(update={**one, "stage": [stage.model_copy(update=still) for stage in recipe.stage]})


def _vocabulary(recipe: Recipe, tokenizer: Tokenizer, origin: ModelConfig | None) -> int:
    model = recipe.model
    if origin is not None:
        if origin.vocab_size < tokenizer.vocab_size:
            raise UserError(
                f"The tokenizer {tokenizer.folder} has {tokenizer.vocab_size:,} tokens, and the model {recipe.start} "
                f"has embeddings of {origin.vocab_size:,}: it was made with another one. Leave data.tokenizer out for "
                "the model's own."
            )
        return origin.vocab_size
    if "vocab_size" not in model.model_fields_set:
        return -(-tokenizer.vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    if model.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"model.vocab_size is {model.vocab_size} and the tokenizer {tokenizer.folder} has "
            f"{tokenizer.vocab_size} tokens; leave vocab_size out of [model], or train a smaller tokenizer."
        )
    return model.vocab_size


def _positions(recipe: Recipe) -> int:
    """Of a model that starts from random weights: those of its first stage of text, else of its longest stage."""
    sections = [section for _, section in recipe.stages]
    text = next((section for section in sections if isinstance(section, Pretrain | Context)), None)
    return text.sequence_length if text else max(section.sequence_length for section in sections)


def _require_lengths(recipe: Recipe, positions: int, origin: ModelConfig | None) -> None:
    """Raises UserError for a stage of other rows than text that is longer than what the model has learnt by then, and
    for a pre-training that is longer than what the weights it starts from were made at."""
    longest = positions
    for name, section in recipe.stages:
        length = section.sequence_length
        if isinstance(section, Rl) and "sequence_length" not in section.model_fields_set:
            continue  # as long as its problems are: `settle` says so
        if isinstance(section, Context) or (origin is None and isinstance(section, Pretrain)):
            longest = max(longest, length)
        elif length > longest and isinstance(section, Pretrain):
            raise UserError(
                f"{name}: sequence_length is {length}, longer than the {longest} positions of {recipe.start}; lower "
                "it, or make it a stage of kind context, which extends them."
            )
        elif length > longest:
            raise UserError(
                f"{name}.sequence_length is {length}, longer than the {longest} tokens the model learns "
                "before it; lower it, or add a [context] stage of that length."
            )


def stage_configs(recipe: Recipe) -> list[ModelConfig]:
    """The model's configuration in each stage of a resolved recipe; they differ by YaRN and length alone.

    From random weights, stages before a context extension run without YaRN (V3 section 4.3); the parameters of
    model.rope_scaling, if stated, are those of the extension. Weights that exist keep the YaRN they were made with, and
    an extension goes on from its positions and its factor. Raises UserError for an extension of a model that is scaled
    in another way.
    """
    base, sections = recipe.model, [section for _, section in recipe.stages]
    extended = any(isinstance(section, Context) for section in sections)
    stated = base.rope_scaling
    if not isinstance(stated, YarnScaling | None):
        if extended:
            raise UserError(
                f"The model's rope_scaling is {stated.rope_type!r}, and a context extension is YaRN's; leave out the "
                "one or the other."
            )
        stated = None
    current = base.model_copy(update={"rope_scaling": None}) if extended and recipe.start is None else base
    configs = []
    for section in sections:
        if isinstance(section, Context):
            learnt = base.max_position_embeddings if stated is None else stated.original_max_position_embeddings
            original = _positions(recipe) if recipe.start is None else learnt
            yarn = _yarn(section, stated, original, goes_on=recipe.start is not None)
            positions = max(section.sequence_length, round(yarn.factor * original))
            current = base.model_copy(update={"rope_scaling": yarn, "max_position_embeddings": positions})
        configs.append(current)
    return configs


def _yarn(section: Context, stated: YarnScaling | None, original: int, *, goes_on: bool) -> YarnScaling:
    """YaRN of an extension from `original` positions; one that goes on from another never lowers its factor."""
    needed = section.sequence_length / original
    factor = stated.factor if stated else needed
    if goes_on:
        factor = max(factor, needed)
    if section.factor is not None:
        factor = section.factor
        if factor * original < section.sequence_length:
            raise UserError(
                f"context.factor {factor:g} extends {original} positions to {factor * original:g}, fewer than "
                f"context.sequence_length ({section.sequence_length}); leave the factor out, or raise it."
            )
    return (stated or YarnScaling()).model_copy(update={"factor": factor, "original_max_position_embeddings": original})
