"""Which units serve a model at least cost: prefill and decode apart, or both on one, within the limits of latency."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, Steady, decoding, largest_batch
from centime.plan.serving.request import LONGEST, SHORTEST, wide
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.units import Unit, free_bytes, weight_bytes, weights_form
from centime.plan.serving.waiting import HEADROOM, busiest_load, busiest_prefill

# Makers of chips that were shown to serve experts across scale-up domains: DeepSeek and SGLang, CloudMatrix on Ascend.
# On all others --layout alone asks for it: MI300X so planned came to 12 times what InferenceX measures.
WIDE_EXPERTS_SHOWN = ("nvidia", "huawei")
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 72, 144, 320)  # chips of a unit that are tried


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a request: prompt, answer, and the share of the prompt found in the cache.

    Raises UserError on lengths that nothing can be computed with.
    """

    isl: float
    osl: float
    hit: float = 0.0

    def __post_init__(self) -> None:
        for flag, tokens in (("--isl", self.isl), ("--osl", self.osl)):
            if not SHORTEST <= tokens <= LONGEST:
                raise UserError(
                    f"{flag} {tokens:g} is no length of a request; give {SHORTEST:g} to {LONGEST:g} tokens."
                )


@dataclass(frozen=True)
class Prefill:
    """A prefill unit at the highest load within the TTFT limit, a headroom kept for bursts."""

    engine: EngineModel
    tokens_per_step: float  # new tokens per attention group
    utilisation: float  # of the unit's capacity, waiting and headroom taken off
    tokens_per_s_per_gpu: float  # prompt tokens, cache hits included


@dataclass(frozen=True)
class Decode:
    """A decode unit with as many sequences as the token time and its memory allow."""

    engine: EngineModel
    state: Steady

    @property
    def tokens_per_s_per_gpu(self) -> float:
        """Output tokens."""
        return self.state.tokens_per_s / self.engine.unit.chips


@dataclass(frozen=True)
class Split:
    """Prefill and decode on units of their own."""

    prefill: Prefill
    decode: Decode

    def gpu_seconds(self, lengths: Lengths) -> float:
        """That one request takes."""
        return lengths.isl / self.prefill.tokens_per_s_per_gpu + lengths.osl / self.decode.tokens_per_s_per_gpu


@dataclass(frozen=True)
class Mixed(Decode):
    """A unit that prefills too, at the highest load within both limits."""

    def gpu_seconds(self, lengths: Lengths) -> float:
        """That one request takes."""
        return lengths.osl / self.tokens_per_s_per_gpu


Choice = Split | Mixed


def units_to_try(chip: Chip, mixture: bool, most: int | None) -> list[Unit]:
    """Tensor-parallel units inside the scale-up domain; for a mixture also attention data-parallel over its experts."""
    domain = int(chip.scaleup_domain or 1)
    widths = [w for w in WIDTHS if most is None or w <= most]
    found = [Unit(tp=w, moe_tp=w if mixture else 1) for w in widths if w <= max(domain, 1) and w <= 16]
    if mixture:
        shown = chip.vendor.lower() in WIDE_EXPERTS_SHOWN
        found += [wide(Unit(dp=w, ep=w)) for w in widths if w > 1 and (shown or w <= max(domain, 1))]
    elif domain < 8:
        found += [Unit(tp=w) for w in widths if domain < w <= 8]
    return found


def prefills(engine: EngineModel, units: list[Unit], lengths: Lengths, ttft_s: float) -> list[Prefill]:
    """Every unit that prefills in time, most prompt tokens a second and GPU first."""
    found = []
    for unit in units:
        tried = replace(engine, unit=unit, drafted=0)
        if tried.room(lengths.isl) < unit.dp:
            continue
        rate, tokens, busy = busiest_prefill(tried, lengths.isl, lengths.hit, ttft_s)
        per_gpu = rate * unit.dp / unit.chips / (1 - lengths.hit) / (1 + HEADROOM)
        if per_gpu > 0:
            found.append(Prefill(tried, tokens, busy / (1 + HEADROOM), per_gpu))
    return sorted(found, key=lambda one: -one.tokens_per_s_per_gpu)


def decodes(engine: EngineModel, units: list[Unit], lengths: Lengths, tpot_s: float) -> list[Decode]:
    """Every unit that decodes in time, most output tokens a second and GPU first."""
    found = []
    for unit in units:
        tried = replace(engine, unit=unit)
        batch = largest_batch(tried, lengths.isl, lengths.osl, tpot_s, hit=1.0)
        if batch < 1:
            continue
        found.append(Decode(tried, decoding(tried, batch, lengths.isl, lengths.osl)))
    return sorted(found, key=lambda one: -one.tokens_per_s_per_gpu)


def mixes(engine: EngineModel, units: list[Unit], lengths: Lengths, ttft_s: float, tpot_s: float) -> list[Mixed]:
    """Every unit that does both in time, most output tokens a second and GPU first."""
    found = []
    for unit in units:
        tried = replace(engine, unit=unit)
        if tried.room(lengths.isl + lengths.osl / 2) < 1:
            continue
        state = busiest_load(tried, lengths.isl, lengths.osl, ttft_s, tpot_s, lengths.hit)
        if state.tokens_per_s > 0:
            found.append(Mixed(tried, state))
    return sorted(found, key=lambda one: -one.tokens_per_s_per_gpu)


def choices(
    engine: EngineModel,
    lengths: Lengths,
    ttft_s: float,
    tpot_s: float,
    given: dict[str, Unit] | None,
    most: int | None,
) -> list[Choice]:
    """Split and mixed units, or what `given` says, cheapest first.

    `most`: GPUs there are; then the best are those whose whole units serve most on them, so that more GPUs never serve
    less, and otherwise those that serve a request in least GPU-seconds.

    Raises UserError that says what stands in the way: memory, the time per token or the time to the first.
    """
    units = units_to_try(engine.chip, engine.model.is_mixture, most)
    roles = {role: [unit] for role, unit in given.items()} if given else {}
    splits: list[Choice] = []
    mixed: list[Choice] = []
    if not given or "prefill" in roles:
        first = prefills(engine, roles.get("prefill", units), lengths, ttft_s)
        then = decodes(engine, roles.get("decode", units), lengths, tpot_s)
        if most is None:  # the best of each: GPU-seconds add
            first, then = first[:1], then[:1]
        splits = [Split(one, two) for one in first for two in then]
    if not given or "mixed" in roles:
        mixed = [*mixes(engine, roles.get("mixed", units), lengths, ttft_s, tpot_s)]

    def cost(choice: Choice) -> float:
        return burden(choice, lengths, most)

    options = [option for option in splits + mixed if math.isfinite(cost(option))]
    if not options:
        tried = [unit for found in roles.values() for unit in found] or units
        raise UserError(_why_none(engine, tried, lengths, ttft_s, tpot_s))
    return sorted(options, key=cost)


def requests_per_s(choice: Choice, lengths: Lengths, gpus: int) -> float:
    """The most that whole units on `gpus` GPUs serve; 0 where not even one of each kind fits.

    With m decode units the rest prefills: m d against ((gpus - m s) // f) p requests a second. The one rises with m and
    the other falls, so that the best m is where they cross.
    """
    if isinstance(choice, Mixed):
        return gpus // choice.engine.unit.chips * choice.state.tokens_per_s / lengths.osl
    first, second = choice.prefill.engine.unit.chips, choice.decode.engine.unit.chips
    one = choice.prefill.tokens_per_s_per_gpu * first / lengths.isl
    other = choice.decode.tokens_per_s_per_gpu * second / lengths.osl
    low, high = 1, (gpus - first) // second
    if high < 1:
        return 0.0

    def prefilled(units: int) -> float:
        return (gpus - units * second) // first * one

    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle * other <= prefilled(middle) else (low, middle - 1)
    return max(min(m * other, prefilled(m)) for m in (low, low + 1) if m * second + first <= gpus)


def burden(choice: Choice, lengths: Lengths, gpus: int | None) -> float:
    """What the cheapest choice has least of: GPU-seconds a request; of all GPUs that are given, idle ones too."""
    if gpus is None:
        return choice.gpu_seconds(lengths)
    served = requests_per_s(choice, lengths, gpus)
    return gpus / served if served else float("inf")


def _why_none(engine: EngineModel, units: list[Unit], lengths: Lengths, ttft_s: float, tpot_s: float) -> Said:
    """The sentence for a model that cannot be served so."""
    chip, form = engine.chip, engine.form
    widest = max(units, key=lambda unit: unit.chips) if units else Unit()
    if all(free_bytes(engine.model, chip, unit, form) <= 0 for unit in units):
        need = weight_bytes(engine.model, widest, form) / 1e9
        return said(
            "{chip}: the weights take {need:,.0f} GB a chip in {form} on {chips:|chip|chips}, and a chip has "
            "{memory:g}; take more chips, a smaller precision or a larger chip.",
            chip=chip.name,
            need=need,
            form=form.name,
            chips=widest.chips,
            memory=chip.memory_gb,
        )
    fast = [unit for unit in units if _token_time(engine, unit, lengths) <= tpot_s]
    if not fast:
        least = min((_token_time(engine, unit, lengths) for unit in units), default=0.0)
        if math.isinf(least):
            return said(
                "{chip}: no unit has memory for one answer of these lengths; take shorter ones or more chips.",
                chip=chip.name,
            )
        return said(
            "{chip}: no unit gives a token within {limit:g} ms; the fastest takes {least:.3g} ms; raise --tpot, or "
            "take a faster chip or a smaller precision.",
            chip=chip.name,
            limit=tpot_s * 1e3,
            least=least * 1e3,
        )
    return said(
        "{chip}: no unit begins an answer of {isl:,.0f} prompt tokens within {limit:g} s; raise --ttft, or take wider "
        "units.",
        chip=chip.name,
        isl=lengths.isl,
        limit=ttft_s,
    )


def _token_time(engine: EngineModel, unit: Unit, lengths: Lengths) -> float:
    tried = replace(engine, unit=unit)
    if tried.room(lengths.isl + lengths.osl / 2) < 1:
        return float("inf")
    return decoding(tried, 1.0, lengths.isl, lengths.osl).tpot_s


def cheapest_units(
    arch: Architecture,
    which: Chip,
    precision: str | None,
    lengths: Lengths,
    ttft_s: float,
    tpot_s: float,
    software: ServingSoftware,
) -> Choice:
    """The cheapest units that serve a model within the limits, as `plan serve` chooses them before it simulates.

    precision: of its weights; None: as they are stored, else the chip's usual one. Raises UserError that says what
    stands in the way.
    """
    cost = model_cost(arch)
    form, _ = weights_form(which, arch, cost, precision)
    engine = EngineModel(cost, which, Unit(), form, speeds(which, software), 0, 0.0)
    return choices(engine, lengths, ttft_s, tpot_s, None, None)[0]
