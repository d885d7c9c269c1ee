"""Keys of a recipe that contradict each other: each fits its own type and bounds, and together they mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

from centime.recipe.sections import Recipe


def contradictions(recipe: Recipe) -> Iterator[str]:
    """A sentence for each, with what to change."""
    train = recipe.train
    if (train.batch_size_start is None) != (train.batch_ramp_until == 0):
        yield (
            "train.batch_size_start and train.batch_ramp_until belong together: the batch grows from the one until the "
            "other; state both or neither."
        )
    yield from _lengths(recipe)


def _lengths(recipe: Recipe) -> Iterator[str]:
    before = original = recipe.train.sequence_length
    for context in recipe.context:
        length = context.sequence_length
        if length < before:
            yield (
                f"context.sequence_length is {length}, shorter than the {before} tokens of the stage before it; "
                "a context extension goes to longer sequences."
            )
        if context.factor is not None and context.factor * original < length:
            yield (
                f"context.factor {context.factor:g} extends {original} positions to {context.factor * original:g}, "
                f"fewer than context.sequence_length ({length}); leave the factor out, or raise it."
            )
        before = max(before, length)
