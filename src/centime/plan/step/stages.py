"""Which layers go to which pipeline stage, and how uneven that leaves the stages.

Layers do not divide: DeepSeek-V3's 61 layers, MTP module and two passes of the output head are worth 64.9 layers,
and no cut into 16 stages gives each of them 4.06. The stage with most to do sets the pace and the others wait for it,
which is part of every measured bubble.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from centime.plan.step import schedules
from centime.plan.step.layout import Schedule


def split(costs: Sequence[float], parts: int) -> list[float]:
    """Cut a row of costs into at most `parts` neighbouring groups with the smallest possible largest sum; the sums.

    The row is the model's items in order, what must stay together as one item (the head with the MTP module, say).
    """
    most = max(*costs, sum(costs) / parts * (1 - 1e-12))
    groups, more = _fill(costs, most)
    while len(groups) > parts:  # nothing changes until the group that was nearest to another item takes it
        most = more
        groups, more = _fill(costs, most)
    return groups + [0.0] * (parts - len(groups))


def _fill(costs: Sequence[float], most: float) -> tuple[list[float], float]:
    """Sums of groups of at most `most`, filled one after the other, and the least sum that was too much."""
    groups, more = [0.0], float("inf")
    for cost in costs:
        one = groups[-1] + cost
        if one <= most:
            groups[-1] = one
        else:
            more = min(more, one)
            groups.append(cost)
    return groups, more


@lru_cache(maxsize=4096)
def slowest(costs: tuple[float, ...], schedule: Schedule, stages: int, chunks: int) -> float:
    """The work of the stage with most to do over the mean stage's, in the best cut: at least 1. Cached.

    costs: of the model's items in order, in any unit. A stage's parts are those of `schedules.position`: DualPipe pairs
    the first part with the last, so that a heavy head and a light start even out.
    """
    parts = split(costs, schedules.positions(schedule, stages, chunks))
    held = range({"dualpipe": 2}.get(schedule, schedules.path_chunks(schedule, chunks)))
    sums = [sum(parts[schedules.position(schedule, stages, stage, chunk)] for chunk in held) for stage in range(stages)]
    return max(1.0, max(sums) * stages / sum(sums))
