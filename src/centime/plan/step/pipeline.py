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
from centime.plan.step.layout import Layout, Schedule
from centime.plan.step.schedules import Kind, Work


class Event(NamedTuple):
    """A stage at work from `start` to `end` (seconds); for FB, `micro_batch` is the one that goes forward."""

    stage: int
    start: float
    end: float
    kind: Kind
    micro_batch: int
    chunk: int


@dataclass(frozen=True)
class Timeline:
    """One step of a pipeline.

    total_s: from the first forward's start to the last gradient's end. bubble_s: idle seconds of every stage.
    in_flight: per stage, the most micro-batches (times chunks) whose activations it holds at once: from the start of a
    forward until its gradient of the weights is there.
    """

    total_s: float
    bubble_s: tuple[float, ...]
    in_flight: tuple[int, ...]
    events: tuple[Event, ...]

    def seconds(self, stage: int, kind: Kind) -> float:
        """Seconds that a stage spends on one kind of work."""
        return sum(event.end - event.start for event in self.events if event.stage == stage and event.kind == kind)


def simulate(
    schedule: Schedule,
    stages: int,
    chunks: int,
    micro_batches: int,
    f: float,
    b: float,
    w: float,
    send: float = 0.0,
    overlapped: float | None = None,
    weights: Sequence[float] | None = None,
) -> Timeline:
    """Lay one step out in time.

    f, b, w: seconds of one chunk's forward, input gradient and weight gradient for one micro-batch. send: seconds from
    the end of work to its result's arrival on the next stage; the sender goes on meanwhile. overlapped: seconds of a
    forward and a whole backward run together (DualPipe's F&B); f + b + w where it is not given. weights: how heavy each
    part of the model is, first to last, relative to f, b, w (embedding, head and uneven layers); all 1 where not given.
    Raises UserError where the schedule does not exist for such a pipeline.
    """
    lists = schedules.orders(schedule, stages, chunks, micro_batches)
    parts = schedules.positions(schedule, stages, chunks)
    weights = weights or [1.0] * parts
    both = f + b + w if overlapped is None else overlapped
    forward_end: dict[tuple[int, int], float] = {}  # by micro-batch and part of the model
    backward_end: dict[tuple[int, int], float] = {}
    clock = [0.0] * stages
    turn = [0] * stages
    events: list[Event] = []
    place = [
        [schedules.position(schedule, stages, stage, chunk) for chunk in range(max(2, chunks))]
        for stage in range(stages)
    ]

    def arrival(stage: int, item: Work) -> float | None:
        """When all that the item needs is on the stage; None where it isn't known yet."""
        ready = 0.0
        part = place[stage][item.chunk]
        if item.kind in ("F", "FB") and part > 0:
            came = forward_end.get((item.micro_batch, part - 1))
            if came is None:
                return None
            ready = came + hop(stage, item.chunk, -1)
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
            ready = max(ready, came + hop(stage, chunk, +1))
        return ready

    def hop(stage: int, chunk: int, step: int) -> float:
        """The sending time from a neighbouring part, nothing where it is on the same stage (the foot of DualPipeV)."""
        part = place[stage][chunk] + step
        return 0.0 if schedule == "dualpipev" and part in place[stage] else send

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
                    seconds = both * (weights[part] * f + weights[back] * (b + w)) / (f + b + w)
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
    total = max(clock)
    busy = [0.0] * stages
    for event in events:
        busy[event.stage] += event.end - event.start
    return Timeline(total, tuple(total - seconds for seconds in busy), tuple(map(_in_flight, lists)), tuple(events))


def _in_flight(work: list[Work]) -> int:
    """The most activations held at once. An overlapped pair holds both: the forward makes its own meanwhile."""
    held = most = 0
    for item in work:
        if item.kind in ("F", "FB"):
            held += 1
            most = max(most, held)
        if item.kind in ("W", "BW", "FB"):
            held -= 1
    return most


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


def phases(
    schedule: Schedule,
    stages: int,
    chunks: int,
    micro_batches: int,
    f: float,
    b: float,
    w: float,
    send: float = 0.0,
    overlapped: float | None = None,
    slowest: float = 1.0,
) -> Phases:
    """A step's phases without laying it out; a microsecond or so. Arguments as of `simulate`, on the mean stage.

    slowest: the work of the stage with most to do over the mean stage's (`step.stages`). Exact for even stages
    and no sending time where w <= b and max(f, b + w) <= overlapped <= f + b + w; sending times and `slowest` are the
    steady state's, right to within a round of the pipeline. Raises UserError as `simulate` does.
    """
    schedules.check(schedule, stages, chunks, micro_batches)
    p, m, unit = stages, micro_batches, f + b + w
    if schedule in ("dualpipe", "dualpipev"):
        return _phases_bidirectional(schedule, p, m, f, b, w, send, unit if overlapped is None else overlapped, slowest)
    passes = m * (chunks if schedule == "interleaved" else 1)
    if schedule == "interleaved":
        group = p + m % p if m >= p else m  # the largest
        warm = _held((chunks - 1) * group, 2, p, passes) / p
        idle = (p - 1) * unit + max(0, p - m) * (chunks - 1) * unit
        idle += 2 * (p * chunks - 1) * send if p > 1 else 0.0
    elif schedule == "zb":
        warm = _held(1, 1, p, m) / p
        # Three paths: through the ramps at both ends, or through one of them and the busy stage at its other end.
        short = max(0, p - m)
        idle = max(
            (p - 1) * (f + b + 4 * send) - min(m, p) * w + w,
            (p - 1) * (b + 2 * send) + short * f,
            (p - 1) * (f + 3 * send) + short * b,
        )
    else:
        warm = _held(0, 1, p, m) / p
        idle = (p - 1) * unit + _hops_1f1b(p, m) * send
    idle += (passes - 1) * (slowest - 1) * unit
    steady = (passes - warm) * unit
    if schedule == "zb":
        return Phases(warm * f, warm * b, warm * w, steady, idle)
    return Phases(warm * f, warm * (b + w), 0.0, steady, idle)


@lru_cache(maxsize=4096)
def _held(first: int, step: int, stages: int, most: int) -> int:
    """Forwards before the first backward, over all stages."""
    return sum(min(first + step * stage, most) for stage in range(stages))


def layout_phases(
    layout: Layout,
    micro_batches: int,
    f: float,
    b: float,
    w: float,
    send: float = 0.0,
    overlapped: float | None = None,
    slowest: float = 1.0,
) -> Phases:
    """`phases` of a layout, with f, b, w and `overlapped` of a whole stage, all of its chunks together.

    Without a pipeline there is nothing but forwards and backwards in turn.
    """
    if layout.pp == 1:
        return Phases(0.0, 0.0, 0.0, micro_batches * (f + b + w), 0.0)
    n = schedules.path_chunks(layout.schedule, layout.vp)
    both = None if overlapped is None else overlapped / n
    return phases(layout.schedule, layout.pp, layout.vp, micro_batches, f / n, b / n, w / n, send, both, slowest)


def _hops_1f1b(p: int, m: int) -> int:
    """Sending times on the longest path: down and up again once, then two for almost every micro-batch."""
    return 2 * (p - 1) + 2 * (m - 1 - (m + p - 2) // p) if p > 1 else 0


def _phases_bidirectional(
    schedule: Schedule, p: int, m: int, f: float, b: float, w: float, send: float, both: float, slowest: float
) -> Phases:
    """DualPipe (half of the stages from either end) and DualPipeV (all of them from one end)."""
    half, each = (p // 2, m // 2) if schedule == "dualpipe" else (p, m)
    # Means over the stages at distance 0 .. half - 1 from the end; in the middle one pair is not overlapped.
    near = (half - 1) / 2
    alone = 1 / half
    forwards = 3 * half - 1 - near + alone
    whole_backwards = half + alone
    put_off = 2 * half - 1 - near
    pairs = 2 * each - 3 * half + near + 1 - alone
    hops = (p - 1) * m / p + 3 * (half - 1) if schedule == "dualpipe" else 2 * (p - 1) * m / p + 2 * (p - 2)
    # The longest path: half of the pairs' steady state and the slower of two ways in and out.
    total = (2 * each - half - 2) * both + 3 * w + max(2 * f + 3 * b, 3 * f + 2 * b + b / half) * half
    total += max(0.0, hops) * send + (pairs - 1) * (slowest - 1) * both
    forward, backward = forwards * f, whole_backwards * (b + w) + put_off * b
    return Phases(forward, backward, put_off * w, pairs * both, total - forward - backward - put_off * w - pairs * both)
