"""Keys of a recipe that contradict each other: each fits its own type and bounds, and together they mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

from centime.recipe.sections import Recipe
from centime.recipe.stages import Context, Pretrain


def contradictions(recipe: Recipe) -> Iterator[str]:
    """A sentence for each, with what to change."""
    yield from _stages(recipe)
    for name, stage in recipe.stages:
        if isinstance(stage, Pretrain) and (stage.batch_size_start is None) != (stage.batch_ramp_until == 0):
            key = "train" if not recipe.stage else name
            yield (
                f"{key}.batch_size_start and {key}.batch_ramp_until belong together: the batch grows from the one "
                "until the other; state both or neither."
            )
    yield from _data(recipe)
    yield from _adapters(recipe)
    yield from _lengths(recipe)


def _stages(recipe: Recipe) -> Iterator[str]:
    own = [key for key in ("train", "context", "sft") if getattr(recipe, key)]
    if recipe.stage and own:
        yield (
            f"[[stage]] and [{own[0]}] are both stated; write every stage as a [[stage]] of its kind, in the order in "
            "which they are to run."
        )
    if not recipe.stages:
        yield "The recipe has no stage: add [train], [[context]] or [sft], or a [[stage]] with its kind."
    for name, stage in recipe.stages[1:]:
        if isinstance(stage, Pretrain) and stage.tokens is None:
            yield f"{name} has no tokens; a pre-training that is not the first stage needs them stated."


def _data(recipe: Recipe) -> Iterator[str]:
    if recipe.data.tokenizer is None and recipe.start is None:
        yield "data.tokenizer is missing (folder with tokenizer.json; copied into the saved model)."
    text = [name for name, stage in recipe.stages if isinstance(stage, Pretrain | Context)]
    if text and not recipe.data.train:
        yield f"data.train is empty, and {text[0]} reads text: name the folders of shards that it is to train on."


def _adapters(recipe: Recipe) -> Iterator[str]:
    """What an adapter cannot bring about: it has the numbers beside the frozen matrices, and nothing else."""
    if recipe.lora is None:
        return
    if recipe.start is None:
        yield 'lora trains beside weights that exist: name them, [model] from = "FOLDER".'
    if recipe.optimizer.name == "muon":
        yield "optimizer.name muon orthogonalises whole matrices; adapters are trained with adamw."
    if recipe.lora.dropout and any(kind in target for target in recipe.lora.targets for kind in ("experts", "router")):
        yield "lora.dropout has no meaning beside experts and routers (nor in PEFT): leave it out, or these targets."
    for name, stage in recipe.stages:
        if stage.kind == "rl" and recipe.lora.dropout:
            yield "lora.dropout would have an rl stage learn from other likelihoods than it drew with: leave it out."
        if isinstance(stage, Context):
            yield f"{name} changes the model's positions, which no adapter carries: extend it first, without lora."
        for key in ("mtp_weight", "mtp_weight_end", "bias_update_speed"):
            if key in stage.model_fields_set and getattr(stage, key):
                yield f"{name}.{key} trains what is frozen under lora (MTP modules, routing biases): leave it out."


def _lengths(recipe: Recipe) -> Iterator[str]:
    """A context extension goes to longer sequences. What weights that exist were made at is not known here."""
    text = [stage for _, stage in recipe.stages if isinstance(stage, Pretrain | Context)]
    original = text[0].sequence_length if text and recipe.start is None else 0
    before = 0
    for stage in text:
        length = stage.sequence_length
        if isinstance(stage, Context) and length < before:
            yield (
                f"context.sequence_length is {length}, shorter than the {before} tokens of the stage before it; "
                "a context extension goes to longer sequences."
            )
        if isinstance(stage, Context) and original and stage.factor is not None and stage.factor * original < length:
            yield (
                f"context.factor {stage.factor:g} extends {original} positions to {stage.factor * original:g}, "
                f"fewer than context.sequence_length ({length}); leave the factor out, or raise it."
            )
        before = max(before, length)
