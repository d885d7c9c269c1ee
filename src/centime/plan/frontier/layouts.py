"""The layouts that were tried, the best first, and why each of the others lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from centime.catalogue.architecture import Architecture
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.frontier.curve import with_prefill
from centime.plan.serving.choice import Decode, Lengths, Mixed, Prefill, decodes, mixes, prefills
from centime.plan.serving.engine import EngineModel, decoding, prefilling
from centime.plan.serving.plan import slower
from centime.plan.serving.units import Unit, check_units, free_bytes, weight_bytes

SHOWN = 10


@dataclass(frozen=True)
class Tried:
    """A layout within the limits at its working load, or the reason why it is none.

    per_chip: output tokens a second, those that prefill counted. engine: of the units that decode, or do both.
    """

    layout: str
    chips: int
    engine: EngineModel
    prefill: Prefill | None
    batch: float
    tpot_s: float
    per_chip: float
    why: Said | None

    @property
    def serves(self) -> bool:
        """Whether it keeps to the limits."""
        return self.per_chip > 0


def tried_layouts(
    engine: EngineModel, arch: Architecture, units: Sequence[Unit], lengths: Lengths, limits: tuple[float, float]
) -> list[Tried]:
    """Every layout, the most tokens of a chip first, then those that do not serve. limits: TTFT, TPOT in seconds."""
    ttft_s, tpot_s = limits
    first = prefills(engine, list(units), lengths, ttft_s)
    best = first[0] if first else None
    decoded = {one.engine.unit: one for one in decodes(engine, list(units), lengths, tpot_s)}
    mixed = {one.engine.unit: one for one in mixes(engine, list(units), lengths, ttft_s, tpot_s)}
    found: list[Tried] = []
    for unit in units:
        tried = replace(engine, unit=unit)
        found.append(_mixed(tried, arch, mixed.get(unit), lengths, limits))
        if best is not None and unit in decoded:
            found.append(_split(decoded[unit], best, lengths))
    found.sort(key=lambda one: (-one.per_chip, one.chips))
    top = found[0].per_chip
    return [replace(one, why=slower(top / one.per_chip)) if 0 < one.per_chip < top else one for one in found]


def _mixed(
    engine: EngineModel, arch: Architecture, mixed: Mixed | None, lengths: Lengths, limits: tuple[float, float]
) -> Tried:
    unit = engine.unit
    if mixed is None:
        why = why_not(engine, arch, lengths, limits)
        return Tried(unit.text(), unit.chips, engine, None, 0.0, 0.0, 0.0, why)
    state = mixed.state
    return Tried(unit.text(), unit.chips, engine, None, state.batch, state.tpot_s, mixed.tokens_per_s_per_gpu, None)


def _split(decode: Decode, prefill: Prefill, lengths: Lengths) -> Tried:
    first, then = prefill.engine.unit, decode.engine.unit
    rate = with_prefill(decode.tokens_per_s_per_gpu, lengths, prefill)
    name = f"{first.text()} + {then.text()}"
    chips = first.chips + then.chips
    return Tried(name, chips, decode.engine, prefill, decode.state.batch, decode.state.tpot_s, rate, None)


def why_not(engine: EngineModel, arch: Architecture, lengths: Lengths, limits: tuple[float, float]) -> Said:
    """Why units of both phases do not serve: memory, the token's time, the time to the first."""
    ttft_s, tpot_s = limits
    free = free_bytes(engine.model, engine.chip, engine.unit, engine.form)
    if free <= 0:
        return said(
            "does not fit: weights of {need:,.0f} GB a chip of {had:g}",
            need=weight_bytes(engine.model, engine.unit, engine.form) / 1e9,
            had=engine.chip.memory_gb,
        )
    if engine.room(lengths.isl + lengths.osl / 2) < 1:
        return said("does not fit: {free:,.1f} GB a chip are left, too few for a sequence", free=free / 1e9)
    least = decoding(engine, 1.0, lengths.isl, lengths.osl).tpot_s
    if least > tpot_s:
        return said(
            "a token takes {least:.3g} ms, alone; the limit is {limit:g}", least=1e3 * least, limit=1e3 * tpot_s
        )
    alone = prefilling(engine, lengths.isl, lengths.isl * (1 - lengths.hit), lengths.hit)
    if alone > ttft_s:
        return said("a prompt takes {alone:.3g} s, alone; the limit is {limit:g}", alone=alone, limit=ttft_s)
    return said("no load keeps both limits: prompts lengthen the steps of others")


def possible(units: Sequence[Unit], arch: Architecture) -> list[Unit]:
    """Those whose degrees divide the model's heads and experts, as engines need it."""
    found = []
    for unit in units:
        try:
            check_units({"mixed": unit}, arch, None)
        except UserError:
            continue
        found.append(unit)
    return found
