"""How much load a unit takes before its slowest hundredth of requests waits too long: a closed form, for quick answers.

The prefill of a request is a service of s seconds at a server that is busy a share rho of the time. With Poisson
arrivals the wait has an exponential tail (Kingman's heavy-traffic limit): P(W > x) = rho exp(-(1 - rho) x / (s v)),
v = (1 + c2) / 2, c2 the squared coefficient of variation of s. plan/serving/arrivals.py simulates the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from centime.plan.serving.engine import CHUNK, EngineModel, Steady, decoding, largest_batch, prefilling, steady
from centime.plan.serving.roofline import Load

TAIL = 0.01  # the 99th percentile
HEADROOM = 0.2  # nodes serving over nodes needed, as DeepSeek's nodes follow its load (fleet/demand.py; D6's chart)


def busiest_load(engine: EngineModel, isl: float, osl: float, ttft_s: float, tpot_s: float, hit: float = 0.0) -> Steady:
    """A unit of both phases at the highest load within both limits (99th percentiles); no tokens if there is none."""
    batch = largest_batch(engine, isl, osl, tpot_s / engine.speeds.token_tail, hit)
    if batch < 1:
        return Steady(0.0, tpot_s, 0.0, 0.0)
    full = steady(engine, batch, isl, osl, hit)
    new = isl * (1 - hit)
    service = prefilling(engine, isl, new, hit) / engine.unit.dp
    left = ttft_s - service - full.tpot_s
    share = utilisation(left, service * engine.speeds.wait) if left > 0 else 0.0
    return replace(full, tokens_per_s=full.tokens_per_s * share)


def busiest_prefill(engine: EngineModel, isl: float, hit: float, ttft_s: float) -> tuple[float, float, float]:
    """New tokens a second and attention group of a prefill unit whose slowest hundredth begins within `ttft_s`.

    Returns it with the tokens of a step and the utilisation, at the best size of step: large steps are efficient, but
    a prompt waits for the step before its own to end, then for its own.
    """
    best = (0.0, float(CHUNK), 0.0)
    tokens = 512.0
    while tokens <= 2 * CHUNK:
        seconds = prefilling(engine, isl, tokens, hit)
        own = seconds * max(1.0, isl * (1 - hit) / tokens)
        left = ttft_s - own - seconds
        if left > 0:
            service = seconds * isl * (1 - hit) / tokens
            rho = utilisation(left, service * engine.speeds.wait)
            best = max(best, (tokens / seconds * rho, tokens, rho))
        tokens *= 2**0.5
    return best


def utilisation(wait_s: float, scale_s: float) -> float:
    """The highest rho at which the 99th percentile of the wait is `wait_s`, at a service time x v of `scale_s`."""
    low, high = 0.0, 1.0
    for _ in range(40):
        rho = (low + high) / 2
        late = rho * math.exp(-(1 - rho) * wait_s / scale_s)
        low, high = (rho, high) if late <= TAIL else (low, rho)
    return low


@dataclass(frozen=True)
class ClosedLoop:
    """What clients see who each send the next request when the answer to the last is there."""

    tpot_s: float  # mean seconds between the tokens of an answer
    ttft_s: float  # mean seconds to its first
    tokens_per_s: float  # output tokens of all units


def closed_loop(engine: EngineModel, clients: float, isl: float, osl: float) -> ClosedLoop:
    """`clients` of one unit of both phases, all of whom arrive at the start.

    A request waits for the host, half a step, the prompts that are worked on before its own (an M/D/1 queue of the
    steady state), and where memory holds fewer sequences than there are clients, for a place. The share `wave` of
    requests belongs to the start, where half of all other prompts come before its own.
    """
    inside = max(1.0, min(clients, engine.room(isl + osl / 2)))
    state = steady(engine, inside, isl, osl)
    first = _first_step(engine, state, isl, osl)
    share = osl * state.tpot_s / (osl * state.tpot_s + first)  # of its time, that a request does not wait
    if share < 0.97:
        state = steady(engine, max(1.0, inside * share), isl, osl)
    start = engine.speeds.wave * max(0.0, inside / engine.unit.dp - 1) / 2
    start *= _each(engine, isl, inside) if start else 0.0
    rate = inside / (first + osl * state.tpot_s)
    ttft = engine.speeds.request_s + first + start + (clients - inside) / rate
    return ClosedLoop(state.tpot_s, ttft, clients * osl / (ttft + osl * state.tpot_s))


def _each(engine: EngineModel, isl: float, prompts: float) -> float:
    """Seconds of a prompt in an attention group where all `prompts` of a unit are there to fill its steps."""
    tokens = min(max(isl, float(CHUNK)), isl * max(1.0, prompts / engine.unit.dp))
    return prefilling(engine, isl, tokens) * isl / tokens


def _first_step(engine: EngineModel, state: Steady, isl: float, osl: float) -> float:
    """Seconds from a request's turn to its first token: half a step, the prompts before its own, its own steps."""
    chunk = min(isl, float(CHUNK))
    load = Load(state.batch, isl + osl / 2, chunk * engine.unit.dp, isl, queries=1.0 + engine.drafted)
    own = engine.step(load).total * isl / chunk * math.pow(engine.unit.dp, engine.speeds.gathering)
    busy = min(0.95, state.prefill_share)
    decode = state.tpot_s * engine.tokens_per_step * (1 - state.prefill_share)
    return decode / 2 + own * (1 + busy / (2 * (1 - busy)))


def closed_loop_apart(
    first: EngineModel,
    prefill_units: int,
    then: EngineModel,
    decode_units: int,
    clients: float,
    lengths: tuple[float, float],
) -> ClosedLoop:
    """`clients` of units that prefill and units that decode, with prompts and answers of `lengths` tokens.

    Where the prefill units cannot keep up, requests wait there and fewer decode: B / (osl tpot(B)) is what they give.
    """
    isl, osl = lengths
    each = _each(first, isl, clients / prefill_units)
    capacity = prefill_units * first.unit.dp / each
    low, high = 1.0, max(1.0, min(clients / decode_units, then.room(isl + osl / 2)))
    if high * decode_units / (osl * decoding(then, high, isl, osl).tpot_s) > capacity:
        while high / low > 1.02:
            middle = (low * high) ** 0.5
            fast = middle * decode_units / (osl * decoding(then, middle, isl, osl).tpot_s) > capacity
            low, high = (low, middle) if fast else (middle, high)
    tpot = decoding(then, high, isl, osl).tpot_s
    rate = high * decode_units / (osl * tpot)
    own = prefilling(first, isl, min(isl, float(CHUNK))) * max(1.0, isl / CHUNK)
    busy = min(0.95, rate / capacity)
    queue = first.speeds.wave * max(0.0, clients / (prefill_units * first.unit.dp) - 1) / 2 * each
    waiting = max(0.0, clients - high * decode_units) / rate
    ttft = first.speeds.request_s + own * (1 + busy / (2 * (1 - busy))) + max(queue, waiting)
    return ClosedLoop(tpot, ttft, clients * osl / (ttft + osl * tpot))
