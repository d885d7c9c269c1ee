"""Where the memory of a chip of a unit goes, and the largest context and concurrency that it holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from centime.plan.serving.choice import Lengths
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.units import (
    MARKETED_GB,
    USABLE_MEMORY,
    WORKSPACE_BYTES,
    free_bytes,
    kv_bytes_per_sequence,
    weight_bytes,
)

LONGEST_CONTEXT = 10**9  # tokens: beyond it a cache does not grow with the context
GIB = 2.0**30


@dataclass(frozen=True)
class UnitMemory:
    """Bytes of one chip; they add up to its memory. context, concurrency: the most that fit."""

    weights: float
    cache: float  # of the sequences in flight
    activations: float  # and graphs, and communication buffers
    room: float  # for more sequences
    kept_free: float  # that engines leave alone
    context: float | None  # tokens of a single sequence in each attention group; None: no bound
    concurrency: float  # sequences of the asked lengths in the whole unit

    def parts(self) -> dict[str, float]:
        """GiB by name."""
        return {name: value / GIB for name, value in asdict(self).items() if name not in ("context", "concurrency")}


def memory_of(engine: EngineModel, batch: float, lengths: Lengths) -> UnitMemory:
    """The memory of a unit with `batch` sequences in flight, halfway through their answers on average.

    Raises UserError where the chip's size is not known.
    """
    model, chip, unit, form = engine.model, engine.chip, engine.unit, engine.form
    free = free_bytes(model, chip, unit, form)
    context = lengths.isl + lengths.osl / 2
    cache = min(batch / unit.dp * kv_bytes_per_sequence(model, unit, form, context), free)
    whole = (chip.memory_gb or 0.0) * MARKETED_GB
    return UnitMemory(
        weight_bytes(model, unit, form),
        cache,
        WORKSPACE_BYTES,
        free - cache,
        whole * (1 - USABLE_MEMORY),
        largest_context(engine),
        engine.room(lengths.isl + lengths.osl),
    )


def largest_context(engine: EngineModel) -> float | None:
    """Tokens of one sequence in each attention group that the memory holds; None where the cache does not bound it."""
    free = free_bytes(engine.model, engine.chip, engine.unit, engine.form)

    def fits(context: int) -> bool:
        return kv_bytes_per_sequence(engine.model, engine.unit, engine.form, context) <= free

    if fits(LONGEST_CONTEXT):
        return None
    low, high = 0, LONGEST_CONTEXT
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return float(low)
