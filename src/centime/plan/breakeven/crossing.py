"""Where a fleet of whole units costs no more than an API: the load from which on it stays so.

The fleet's cost a day c(x) is a step function that never falls, the API's is a x. At x0 with c(x0) <= a x0 the fleet
pays for every load from c(x0) / a to x0 as well, since it costs no more there than at x0. So x1 = c(x0) / a, x2 =
c(x1) / a, ... falls to the least load from which on the fleet pays throughout. At x0 with c(x0) > a x0 the fleet pays
nowhere below c(x0) / a, since it costs no less there than at x0; rising so gives the least load at which it pays at
all, where its last unit is just full enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable

ROUNDS = 100_000  # more than the steps between a fleet of 10 M units and one of a single unit, at a ratio of 0.9999
SAME = 1e-12


def break_even(cost: Callable[[float], float], api: float, least: float, most: float) -> float | None:
    """The least load from `least` on from which the fleet costs no more than the API at every load up to `most`.

    cost: the fleet's, of a load; api: the API's, of one unit of load. None where the fleet does not pay at `most`, and
    `least` where it always does.
    """
    load = most
    if cost(load) > api * load:
        return None
    for _ in range(ROUNDS):
        next_one = cost(load) / api if api > 0 else math.inf
        if next_one <= least:
            return least
        if next_one >= load * (1 - SAME):
            break
        load = next_one
    return load


def first_paying(cost: Callable[[float], float], api: float, least: float, most: float) -> float | None:
    """The least load from `least` to `most` at which the fleet costs no more than the API; None where there is none."""
    load = least
    for _ in range(ROUNDS):
        needed = cost(load) / api if api > 0 else math.inf
        if needed <= load * (1 + SAME):
            return load
        if needed > most:
            return None
        load = needed
    return None
