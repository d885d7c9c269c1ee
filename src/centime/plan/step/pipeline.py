"""A pipeline in time: every stage's work laid out on a clock (`simulate`), and what idles in closed form (`phases`).

The closed forms are the longest paths through the schedules of `step.schedules`; docs/plan-pipeline.md says
where they equal the simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from centime.plan.step import schedules
from centime.plan.step.layout import BIDIRECTIONAL, Layout, Schedule
from centime.plan.step.schedules import Kind, ScheduleItem

ROUNDING = 1e-12  # of a step: what a difference of sums may leave


class Event(NamedTuple):
    """A stage at work from `start` to `end` (seconds); for FB, `micro_batch` is the one that goes forward."""

    stage: int
    start: float
    end: float
    kind: Kind
    micro_batch: int
    chunk: int


class Passes(NamedTuple):
    """Seconds of one micro-batch through a stage, or through one of its chunks: forward, gradient of the inputs, of the
    weights; a forward and a whole backward run together (DualPipe's F&B), None: as long as one after the other."""

    forward: float
    input_gradient: float
    weight_gradient: float
    overlapped: float | None = None

    @property
    def both(self) -> float:
        """A forward and a whole backward, one after the other."""
        return self.forward + self.input_gradient + self.weight_gradient

    @property
    def together(self) -> float:
        """The two run together."""
        return self.both if self.overlapped is None else self.overlapped

    def cut(self, chunks: int) -> Passes:
        """Through one of so many chunks."""
        return Passes(*(None if seconds is None else seconds / chunks for seconds in self))  # type: ignore[arg-type]


class Pipeline(NamedTuple):
    """A schedule on `stages` stages of `chunks` chunks, for the micro-batches of a step and replica."""

    schedule: Schedule
    stages: int
    chunks: int
    micro_batches: int


def simulate(pipeline: Pipeline, passes: Passes, weights: Sequence[float] | None = None) -> list[Event]:
    """Lay one step out in time: what each stage does when, in the order in which a stage does it.

    passes: of one chunk. weights: how heavy each part of the model is, first to last, relative to the mean (embedding,
    head and uneven layers); all 1 where not given. Raises UserError where the schedule does not exist for such a
    pipeline.
    """
    schedule, stages, chunks, _ = pipeline
    f, b, w, _ = passes
    lists = schedules.orders(*pipeline)
    parts = schedules.positions(schedule, stages, chunks)
    weights = weights or [1.0] * parts
    forward_end: dict[tuple[int, int], float] = {}  # by micro-batch and part of the model
    backward_end: dict[tuple[int, int], float] = {}
    clock = [0.0] * stages
    turn = [0] * stages
    events: list[Event] = []
    place = [
        [schedules.position(schedule, stages, stage, chunk) for chunk in range(max(2, chunks))]
        for stage in range(stages)
    ]

    def arrival(stage: int, item: ScheduleItem) -> float | None:
        """When all that the item needs is on the stage; None where it isn't known yet."""
        ready = 0.0
        part = place[stage][item.chunk]
        if item.kind in ("F", "FB") and part > 0:
            came = forward_end.get((item.micro_batch, part - 1))
            if came is None:
                return None
            ready = came
        if item.kind in ("B", "BW", "FB"):
            chunk, micro_batch = (
                (item.other_chunk, item.other_micro_batch) if item.kind == "FB" else (item.chunk, item.micro_batch)
            )
            part = place[stage][chunk]
            own = forward_end.get((micro_batch, part))
            if own is None:
                return None
            ready = max(ready, own)
            if part == parts - 1:
                return ready
            came = backward_end.get((micro_batch, part + 1))
            if came is None:
                return None
            ready = max(ready, came)
        return ready

    blocked = False
    while not blocked:
        blocked = True
        for stage in range(stages):
            while turn[stage] < len(lists[stage]):
                item = lists[stage][turn[stage]]
                ready = arrival(stage, item)
                if ready is None:
                    break
                part = place[stage][item.chunk]
                if item.kind == "FB":
                    back = place[stage][item.other_chunk]
                    # An uneven pair takes the overlapped time of its mean weight.
                    seconds = passes.together * (weights[part] * f + weights[back] * (b + w)) / passes.both
                else:
                    seconds = {"F": f, "B": b, "W": w, "BW": b + w}[item.kind] * weights[part]
                start = max(clock[stage], ready)
                end = clock[stage] = start + seconds
                if item.kind in ("F", "FB"):
                    forward_end[item.micro_batch, part] = end
                if item.kind in ("B", "BW"):
                    backward_end[item.micro_batch, part] = end
                if item.kind == "FB":
                    backward_end[item.other_micro_batch, back] = end
                events.append(Event(stage, start, end, item.kind, item.micro_batch, item.chunk))
                turn[stage] += 1
                blocked = False
    if any(turn[stage] < len(lists[stage]) for stage in range(stages)):
        raise AssertionError(f"{schedule} on {stages} stages waits for itself")
    return events


@dataclass(frozen=True)
class Phases:
    """Where the seconds of a step go on the mean stage, in the parts of table 4 of arXiv 2505.09343.

    forward_1f: forwards with no backward beside them; backward_1b: backwards with no forward beside them, with the
    gradient of the weights unless put off; weight_1w: weight gradients that were put off; steady_1f1b: a forward and a
    backward in turn, or overlapped; bubble: the rest.
    """

    forward_1f: float
    backward_1b: float
    weight_1w: float
    steady_1f1b: float
    bubble: float

    @property
    def total(self) -> float:
        """Seconds from the first forward to the last gradient."""
        return self.forward_1f + self.backward_1b + self.weight_1w + self.steady_1f1b + self.bubble


def phases(pipeline: Pipeline, passes: Passes, slowest: float = 1.0) -> Phases:
    """A step's phases without laying it out; a microsecond or so. Arguments as of `simulate`, on the mean stage.

    slowest: the work of the stage with most to do over the mean stage's (`step.stages`). Exact for even stages where
    w <= b and max(f, b + w) <= overlapped <= f + b + w; `slowest` is the steady state's, right to within a round of the
    pipeline. Raises UserError as `simulate` does.
    """
    schedules.check(*pipeline)
    schedule, p, chunks, m = pipeline
    if schedule in BIDIRECTIONAL:
        return _phases_bidirectional(pipeline, passes, slowest)
    f, b, w, unit = *passes[:3], passes.both
    count = m * chunks
    if schedule == "interleaved":
        group = min(m, p + m % p)  # the largest
        warm = _held((chunks - 1) * group, 2, p, count) / p
    else:
        warm = _held(1 if schedule == "zb" else 0, 1, p, m) / p
    idle = _idle(pipeline, passes, slowest)
    steady = (count - warm) * unit
    if schedule == "zb":
        return Phases(warm * f, warm * b, warm * w, steady, idle)
    return Phases(warm * f, warm * (b + w), 0.0, steady, idle)


def _idle(pipeline: Pipeline, passes: Passes, slowest: float) -> float:
    """Seconds that the mean stage of a pipeline from one end does nothing."""
    schedule, p, chunks, m = pipeline
    f, b, w, unit = *passes[:3], passes.both
    idle = (p - 1) * unit
    if schedule == "interleaved":
        idle += max(0, p - m) * (chunks - 1) * unit
    elif schedule == "zb":
        # Three paths: through the ramps at both ends, or through one of them and the busy stage at its other end.
        short = max(0, p - m)
        idle = max((p - 1) * (f + b) - min(m, p) * w + w, (p - 1) * b + short * f, (p - 1) * f + short * b)
    return idle + (m * chunks - 1) * (slowest - 1) * unit


@lru_cache(maxsize=4096)
def _held(first: int, step: int, stages: int, most: int) -> int:
    """Forwards before the first backward, over all stages."""
    return sum(min(first + step * stage, most) for stage in range(stages))


def layout_phases(layout: Layout, micro_batches: int, passes: Passes, slowest: float = 1.0) -> Phases:
    """`phases` of a layout. passes: of a whole stage, all of its chunks together.

    Without a pipeline there is nothing but forwards and backwards in turn.
    """
    if layout.pp == 1:
        return Phases(0.0, 0.0, 0.0, micro_batches * passes.both, 0.0)
    pipeline = Pipeline(layout.schedule, layout.pp, layout.vp, micro_batches)
    return phases(pipeline, passes.cut(schedules.path_chunks(layout.schedule, layout.vp)), slowest)


def whole_seconds(pipeline: Pipeline, passes: Passes, slowest: float = 1.0) -> float:
    """The total of `layout_phases` but for rounding, of a schedule that is known to exist: a search asks for thousands.

    passes: of a micro-batch through all stages.
    """
    schedule, stages, chunks, micro_batches = pipeline
    if stages == 1:
        return micro_batches * passes.both
    if schedule in BIDIRECTIONAL:
        whole = _bidirectional(pipeline, passes, slowest)
    else:
        whole = micro_batches * chunks * passes.both + _idle(pipeline, passes, slowest)
    return whole / schedules.positions(schedule, stages, chunks)


def _bidirectional(pipeline: Pipeline, passes: Passes, slowest: float) -> float:
    """Seconds of a step of DualPipe or DualPipeV: the longest path, half of the pairs' steady state and the slower of
    two ways in and out."""
    half, each, pairs = _pairs(pipeline)
    f, b, w, both = *passes[:3], passes.together
    total = (2 * each - half - 2) * both + 3 * w + max(2 * f + 3 * b, 3 * f + 2 * b + b / half) * half
    return total + (pairs - 1) * (slowest - 1) * both


def _pairs(pipeline: Pipeline) -> tuple[int, int, float]:
    """Stages from one end to the turn, micro-batches from there, and how many pairs a mean stage overlaps."""
    schedule, p, _, m = pipeline
    half, each = (p // 2, m // 2) if schedule == "dualpipe" else (p, m)
    # Means over the stages at distance 0 .. half - 1 from the end; in the middle one pair is not overlapped.
    return half, each, 2 * each - 3 * half + (half - 1) / 2 + 1 - 1 / half


def _phases_bidirectional(pipeline: Pipeline, passes: Passes, slowest: float) -> Phases:
    """DualPipe (half of the stages from either end) and DualPipeV (all of them from one end)."""
    f, b, w, both = *passes[:3], passes.together
    half, _, pairs = _pairs(pipeline)
    near = (half - 1) / 2
    alone = 1 / half
    forwards = 3 * half - 1 - near + alone
    whole_backwards = half + alone
    put_off = 2 * half - 1 - near
    total = _bidirectional(pipeline, passes, slowest)
    forward, backward = forwards * f, whole_backwards * (b + w) + put_off * b
    idle = total - forward - backward - put_off * w - pairs * both
    if idle < ROUNDING * total:  # nothing, or less: of two stages each works all the time
        idle = 0.0
    return Phases(forward, backward, put_off * w, pairs * both, idle)
