"""What the planner's engine does with a row of published speeds, by the phase that the row states.

Units of both phases run at a closed loop's clients, at their maximum load or within a usual token time; units that
prefill or decode alone, and the best layout of a benchmark's scenario, as their sources describe them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from centime.catalogue.architecture import StoredWeights
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.check.serving_rows import (
    BenchmarkScenario,
    RowLayout,
    number,
    precision,
    speculation,
    stated_batch,
)
from centime.plan.serving.choice import WIDE_EXPERTS_SHOWN, Lengths, choices
from centime.plan.serving.costs import ModelCost
from centime.plan.serving.engine import (
    CHUNK,
    EngineModel,
    decoding,
    largest_batch,
    prefilling,
    steady,
)
from centime.plan.serving.speeds import ServingConstants, ServingSoftware, speeds
from centime.plan.serving.units import Unit, most_sequences, served, stored_format
from centime.plan.serving.waiting import (
    HEADROOM,
    ClosedLoop,
    busiest_load,
    busiest_prefill,
    closed_loop,
    closed_loop_apart,
)

PROMPT = 1024  # tokens, where a row states no length
FRONTIER_TTFT_S = 30.0  # a frontier's points keep to no limit of the first token; their loops end in half a minute
ONLINE_TPOT_S = 0.05  # of a production unit that states no target: 20 tokens/s, the floor of D6's 20 to 22
ONLINE_TTFT_S = 5.0  # of a production unit that states no target (99th percentile)
ONLINE_CONTEXT = 4989  # mean cache length per output token (D6), where a production row states no lengths


@dataclass(frozen=True)
class ServingRow:
    """A row, read: the model and what it runs on."""

    row: dict[str, str]
    model: ModelCost
    chips: tuple[tuple[Chip, int], ...]  # kinds of chip with their numbers
    gpus: int
    software: ServingSoftware
    mixture: bool
    arch_name: str
    stored: StoredWeights | None = None  # the only format that its weights were published in


def engine_of(case: ServingRow, unit: Unit, values: ServingConstants | None, *, even: bool = False) -> EngineModel:
    """The planner's engine on `unit`, in the row's precision and software; `even`: experts' load without imbalance."""
    kind = case.chips[0][0]
    mlperf = case.row.get("phase", "").lower() in ("offline", "server", "interactive")
    eight_bit_cache = mlperf or case.software.engine == "trt" or bool(kind.fp4_tflops)  # as sources start them
    form = served(kind, precision(case.row, case.mixture, eight_bit_cache))
    if case.stored and form.name in ("bf16", "fp8"):  # that is then of activations and cache
        form = replace(stored_format(kind, case.stored, case.model), kv_bytes=form.kv_bytes)
    rates = speeds(kind, case.software, values)
    if even:
        rates = replace(rates, imbalance=0.0)
    drafted, accepted = speculation(case.row, case.model.mtp_params > 0, unit)
    return EngineModel(case.model, kind, unit, form, rates, drafted, accepted or rates.accepted)


def _clients(case: ServingRow, layout: RowLayout) -> float | None:
    """Requests in flight on all units: as stated, or as many as its units' stated batch."""
    stated = number(case.row.get("concurrency_or_batch"))
    batch = (layout.batch_per_group or 0) * layout.unit.dp * layout.units
    return stated or (float(batch) if batch else None)


def mixed(
    case: ServingRow,
    layout: RowLayout,
    lengths: tuple[float, float],
    target: str,
    values: ServingConstants | None,
) -> float:
    """What units of both phases give: at a closed loop's clients, at the maximum load, or within a usual token time."""
    engine = engine_of(case, layout.unit, values)
    clients, at_most = _clients(case, layout), "maximum" in case.row.get("phase", "").lower()
    if clients is None and target.endswith("_ms"):
        raise UserError(f"{target} needs concurrency_or_batch, or a bs in config.")
    if clients is not None and not at_most:
        stated = (layout.batch_per_group or 0) * layout.unit.dp  # more clients than that: on replicas not counted
        each = min(clients / layout.units, stated or math.inf)
        loop = closed_loop(engine, each, *lengths)
        return _of_loop(loop, target, case.gpus or layout.unit.chips * layout.units, layout.units)
    limit = None if at_most else ONLINE_TPOT_S
    batch = min(largest_batch(engine, *lengths, limit), (clients or math.inf) / layout.units)
    if batch < 1:
        raise UserError("the model does not fit these chips, or no batch meets the token time.")
    if limit is None:
        batch = max(1.0, batch * engine.speeds.filled)
    return steady(engine, batch, *lengths).tokens_per_s / layout.unit.chips


def _of_loop(loop: ClosedLoop, target: str, gpus: int, units: int) -> float:
    """The figure of a closed loop that a target asks for."""
    if target == "tpot_ms":
        return loop.tpot_s * 1e3
    if target == "ttft_ms":
        return loop.ttft_s * 1e3
    return loop.tokens_per_s * units / (gpus if target.endswith("per_gpu") else 1)


def apart(
    case: ServingRow,
    layout: RowLayout,
    isl: float | None,
    osl: float | None,
    values: ServingConstants | None,
    target: str,
) -> float:
    """Milliseconds of a closed loop over units that prefill and units that decode; of these alone, where others do."""
    if not (isl and osl):
        raise UserError(f"{target} needs isl and osl.")
    then, clients = engine_of(case, layout.unit, values), _clients(case, layout)
    if not clients:
        raise UserError(f"{target} needs concurrency_or_batch, or a bs in config.")
    if layout.prefill is None:
        if target == "ttft_ms":
            raise UserError("ttft_ms of units that only decode is of those that prefill, which the row does not state.")
        inside = max(1.0, min(clients / layout.units, then.room(isl + osl / 2)))
        return decoding(then, inside, isl, osl).tpot_s * 1e3
    first = replace(engine_of(case, layout.prefill, values), drafted=0, accepted=0.0)
    loop = closed_loop_apart(first, layout.prefill_units, then, layout.units, clients, (isl, osl))
    return _of_loop(loop, target, case.gpus, 1)


def prefill(case: ServingRow, layout: RowLayout, values: ServingConstants | None) -> float:
    """Input tokens a second and chip of prefill units; with cache hits counted where the source counts them."""
    stated = re.search(r"([\d.]+)\s*%\s*hit", case.row.get("prefix_cache", ""))
    hit = float(stated[1]) / 100 if stated else 0.0
    even = "perfect" in case.row.get("config", "")
    engine = engine_of(case, layout.unit, values, even=even)
    per_device = re.search(r"(\d+) tokens/device", case.row.get("concurrency_or_batch", ""))
    tokens = float(per_device[1]) if per_device else float(CHUNK)
    isl = number(case.row.get("isl"))
    if "production" in case.row.get("group", "").lower():
        per_group = busiest_prefill(engine, isl or ONLINE_CONTEXT, hit, ONLINE_TTFT_S)[0]
        return per_group / (1 + HEADROOM) * layout.unit.dp / (1 - hit) / layout.unit.chips
    seconds = prefilling(engine, isl or PROMPT, tokens, hit)
    return tokens * layout.unit.dp / seconds / (1 - hit) / layout.unit.chips


def decode(case: ServingRow, layout: RowLayout, isl: float | None, values: ServingConstants | None) -> float:
    """Output tokens a second and chip of decode units, at the stated batch or what memory and online time allow."""
    engine = engine_of(case, layout.unit, values)
    osl = number(case.row.get("osl")) or 1000.0
    online = "production" in case.row.get("group", "").lower()
    context = isl if isl else (ONLINE_CONTEXT if online else PROMPT) - osl / 2
    batch = largest_batch(engine, context, osl, ONLINE_TPOT_S if online else None, hit=1.0)
    stated = stated_batch(case.row.get("concurrency_or_batch", ""), layout)
    if stated is not None:
        batch = min(batch, stated)
    if batch < 1:
        raise UserError("the model does not fit these chips, or no batch meets the token time.")
    return decoding(engine, batch, context, osl).tokens_per_s / layout.unit.chips


def best_of_scenario(
    case: ServingRow, scenario: BenchmarkScenario, phase: str, values: ServingConstants | None
) -> float:
    """Output tokens a second and chip of the best layout within the scenario's limits."""
    best = 0.0
    limits = scenario.limits.get(phase)
    if phase != "offline" and limits is None:
        raise UserError(f"MLPerf's {phase} scenario of {case.row.get('model')!r} has no limits here.")
    for unit in candidates(case.chips[0][0], case.chips[0][1], case.mixture, case.model):
        engine = engine_of(case, unit, values)
        if most_sequences(case.model, engine.chip, unit, engine.form, scenario.isl + scenario.osl) < 1:
            continue
        if limits is None:
            most = largest_batch(engine, scenario.isl, scenario.osl, None)
            states = [steady(engine, max(1.0, most / 2**i), scenario.isl, scenario.osl) for i in range(5)]
        else:
            states = [busiest_load(engine, scenario.isl, scenario.osl, *limits)]
        run = engine.speeds.run_s
        for state in states:
            drain = scenario.longest * state.tpot_s  # the last answers end after the rest of the run
            best = max(best, state.tokens_per_s / unit.chips * run / (run + drain))
    if best <= 0:
        raise UserError("no layout of these chips holds the model within the scenario's limits.")
    return best


def at_user_speed(case: ServingRow, lengths: Lengths, speed: float, values: ServingConstants | None) -> float:
    """Output tokens a second and chip of the planner's own best layout at which users get `speed` tokens a second.

    For a point of a frontier, whose layout is not stated: the best inside one scale-up domain, as benchmarks are run,
    or two boxes where units are shown to cross them. A frontier's best runs draft a token where the model has a module
    for it, on the chips whose makers' engines serve such models so.
    """
    kind = case.chips[0][0]
    shown = kind.vendor.lower() in WIDE_EXPERTS_SHOWN
    domain = int(kind.scaleup_domain or 1)
    gpus = case.gpus or (2 if domain <= 8 and shown else 1) * domain
    engine = engine_of(case, Unit(), values)
    if shown and case.model.mtp_params and not engine.drafted:
        engine = replace(engine, drafted=1, accepted=engine.speeds.accepted)
    return lengths.osl / choices(engine, lengths, FRONTIER_TTFT_S, 1 / speed, None, gpus)[0].gpu_seconds(lengths)


def candidates(kind: Chip, gpus: int, mixture: bool, model: ModelCost) -> list[Unit]:
    """Units a benchmark's authors would try: powers of two inside one scale-up domain, experts spread or split."""
    most = min(gpus or 8, max(int(kind.scaleup_domain or 1), 8))
    found = []
    width = 1
    while width <= min(most, 16):
        found.append(Unit(tp=width, moe_tp=width) if mixture else Unit(tp=width))
        if mixture and width > 1:
            found.append(Unit(dp=width, ep=width))
        width *= 2
    if mixture and most > 16 and most % 8 == 0 and model.expert_params > 1e11:
        found.append(Unit(dp=most, ep=most, overlapped=True))
    return found
