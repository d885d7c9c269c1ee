"""How much load a unit takes before its slowest hundredth of requests waits too long: a closed form, for quick answers.

The prefill of a request is a service of s seconds at a server that is busy a share rho of the time. With Poisson
arrivals the wait has an exponential tail (Kingman's heavy-traffic limit): P(W > x) = rho exp(-(1 - rho) x / (s v)),
v = (1 + c2) / 2, c2 the squared coefficient of variation of s. plan/serving/arrivals.py simulates the same.
"""

from __future__ import annotations

import math
from dataclasses import replace

from centime.plan.serving.engine import CHUNK, EngineModel, Steady, largest_batch, prefilling, steady

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
