"""GPU-seconds per token of a corner, under the best layout of a short search."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from centime.catalogue.architecture import Architecture, Experts
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture
from centime.plan.layouts.candidates import LONG, RECOMPUTE, divisors, schedules_of
from centime.plan.layouts.cost import StepCost
from centime.plan.step.efficiency import fitted
from centime.plan.step.intervals import step_interval
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, Recompute, Schedule, objections
from centime.plan.step.prediction import software_of
from centime.plan.step.times import step_times
from centime.plan.training.goodput import goodput

# A corner's search is one of hundreds: the degrees that matter most, in powers of two, every chip at work that the
# batch can feed. The runs at both ends are searched like their neighbours; what `plan train` finds beyond is "layout".
TENSOR = (1, 2, 4, 8)
CHUNKS = (2, 4, 7)
MICRO_BATCHES = (1, 2)
SHARDING = (1, 3)


@dataclass(frozen=True)
class Corner:
    """A training step to be priced. schedule: the pipeline's kind, None where any may be tried.

    The layout is always searched for, under the same rules at every corner, so that no corner has the advantage of a
    hand-made one; what a hand-made layout gains or loses stands apart (`Run.layout`).
    """

    arch: Architecture
    chip: Chip
    gpus: int
    seq: int
    global_batch: int
    precision: str
    schedule: Schedule | None
    software_date: str

    @property
    def job(self) -> Job:
        """What its step computes."""
        software = software_of(self.software_date or None)
        return Job(self.arch, self.chip, self.seq, self.global_batch, self.precision, software)

    @property
    def total_params(self) -> float:
        return float(count_architecture(self.arch).total_params)


# GPU-seconds per token of a corner under the best layout; raises UserError where none is feasible.
SecondsPerToken = Callable[[Corner], float]


@dataclass
class Searcher:
    """The best layout of a corner, each corner searched once."""

    found: dict[Corner, tuple[float, Layout]] = field(default_factory=dict)

    def __call__(self, at: Corner) -> float:
        """GPU-seconds per token under the best layout, failures included. Raises UserError where none is feasible."""
        seconds, _ = self._searched(at)
        return at.gpus * seconds / (at.global_batch * at.seq) / goodput(at.gpus).share

    def interval(self, at: Corner) -> tuple[float, float]:
        """Factors on `self(at)` between which the actual lies in four of five cases."""
        job, layout = at.job, self._searched(at)[1]
        return step_interval(job, layout, step_times(job, layout, fitted()))

    def _searched(self, at: Corner) -> tuple[float, Layout]:
        if at not in self.found:
            self.found[at] = _best(at)
        return self.found[at]


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(max(1, most).bit_length())]


@functools.lru_cache(maxsize=64)
def _shapes(arch: Architecture, chip: Chip, gpus: int, seq: int, global_batch: int) -> tuple[Layout, ...]:
    """The degrees that exist for a corner; replicas as many as chips and batch allow. Corners share them."""
    experts = [block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, Experts)]
    found = []
    for tp in TENSOR:
        for pp in _powers(min(arch.layers, gpus // tp)):
            for cp in _powers(seq // LONG):
                for micro_batch in MICRO_BATCHES:
                    most = gpus // (tp * cp * pp)
                    dp = max((d for d in divisors(global_batch // micro_batch) if d <= most), default=0)
                    for ep in _powers(min(experts, default=1)):
                        layout = Layout(tp * cp * pp * dp, tp, pp, 1, cp, ep, micro_batch=micro_batch)
                        if dp and not any(objections(layout, arch, chip, seq, global_batch)):
                            found.append(layout)
    return tuple(found)


def _best(at: Corner) -> tuple[float, Layout]:
    """Seconds of a step, and the layout: shapes by what they take at least, until no other can be faster."""
    cost = StepCost(at.job)
    found = _shapes(at.arch, at.chip, at.gpus, at.seq, at.global_batch)
    ordered = sorted((cost.least_seconds(shape), i) for i, shape in enumerate(found))
    best: tuple[float, Layout] | None = None
    for wanted in (at.schedule, None):  # where the schedule cannot be had at all, any
        for least, i in ordered:
            if best is not None and least >= best[0]:
                break
            rooms: dict[bool, list[tuple[int, float]]] = {}  # DualPipe keeps a second copy of the states
            for schedule, vp in schedules_of(found[i], at.arch, at.global_batch, CHUNKS):
                if wanted not in (None, schedule):
                    continue
                twice = schedule == "dualpipe"
                if twice not in rooms:
                    rooms[twice] = _rooms(found[i], schedule, cost)
                if rooms[twice]:
                    best = _better(best, found[i], schedule, vp, rooms[twice], cost)
        if best is not None:
            return best
    raise UserError(
        f"{at.arch.name} does not fit {at.gpus:,} x {at.chip.name} in any layout, at {at.seq:,} tokens a sequence; "
        "take more chips, or chips with more memory."
    )


def _rooms(shape: Layout, schedule: Schedule, cost: StepCost) -> list[tuple[int, float]]:
    """Bytes left beside the states for every sharding that leaves any."""
    found = [(zero, cost.limit - cost.states_bytes(_layout(shape, schedule, 1, zero, "none"))) for zero in SHARDING]
    return [(zero, room) for zero, room in found if room > 0]


def _better(
    best: tuple[float, Layout] | None,
    shape: Layout,
    schedule: Schedule,
    vp: int,
    rooms: list[tuple[int, float]],
    cost: StepCost,
) -> tuple[float, Layout] | None:
    """The best so far, or a faster one of this shape and schedule: the least recomputation that fits is the fastest."""
    for zero, room in rooms:
        for word in RECOMPUTE:
            layout = _layout(shape, schedule, vp, zero, word)
            if cost.passing_bytes(layout) <= room:
                if best is None or not cost.is_slower(layout, best[0]):
                    seconds = cost.seconds(layout)
                    if best is None or seconds < best[0]:
                        best = seconds, layout
                break
    return best


def _layout(shape: Layout, schedule: Schedule, vp: int, zero: int, recompute: Recompute) -> Layout:
    return Layout(shape.gpus, shape.tp, shape.pp, vp, shape.cp, shape.ep, zero, shape.micro_batch, schedule, recompute)
