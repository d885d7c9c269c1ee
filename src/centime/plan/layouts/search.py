"""The fastest layout that fits: every way to spread a model over up to so many chips, priced one by one.

The candidates are whole: every degree that divides heads, experts, layers and batch, every schedule, and every number
of replicas, those that leave chips idle too. So a larger machine's candidates contain a smaller one's, and more chips
are never slower. A shape whose arithmetic alone takes longer than the tenth best layout so far is passed over where it
has fewer replicas than could be had, or once `PRICED` layouts have been; that cannot change the ten best.
"""

from __future__ import annotations

import functools
import time
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter
from typing import Any

from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.layouts.candidates import (
    RECOMPUTE,
    WHOLE,
    Family,
    Grid,
    Shape,
    families,
    schedules_of,
    shapes,
    sharding_of,
)
from centime.plan.step.cost import StepCost
from centime.plan.step.intervals import step_interval
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, text
from centime.plan.step.times import StepTimes

PRICED = 25_000
TOP = 10


@dataclass(frozen=True)
class Candidate:
    """A layout and what it does: seconds of a step, tokens per second of the whole machine."""

    layout: Layout
    seconds: float
    tokens_per_s: float


@dataclass(frozen=True)
class SearchResult:
    """What the search found.

    tried: valid layouts looked at; feasible: those of them that fit memory, all priced. top: the ten fastest, the best
    first; times: of the first two; cost: what priced them. complete: False where the time limit cut it short.
    """

    gpus: int
    tried: int
    feasible: int
    complete: bool
    top: tuple[Candidate, ...]
    times: tuple[StepTimes, ...]
    cost: StepCost

    @functools.cached_property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The 80 % interval of each of the ten best, in seconds."""
        found = []
        for one in self.top:
            fast, slow = step_interval(self.cost.job, one.layout, self.cost.times(one.layout))
            found.append((one.seconds * fast, one.seconds * slow))
        return tuple(found)

    @property
    def best(self) -> Candidate:
        """The fastest layout."""
        return self.top[0]

    @property
    def idle(self) -> int:
        """Chips that the best layout leaves unused."""
        return self.gpus - self.best.layout.gpus

    def to_json(self) -> dict[str, Any]:
        """What was tried, what is left idle, why, and the ten best as `step.layout.parse` reads them."""
        top = [
            {
                "layout": text(one.layout),
                "gpus": one.layout.gpus,
                "step_time_s": one.seconds,
                "low_s": low,
                "high_s": high,
                "tokens_per_s": one.tokens_per_s,
            }
            for one, (low, high) in zip(self.top, self.intervals, strict=True)
        ]
        return {
            **{"tried": self.tried, "feasible": self.feasible, "complete": self.complete},
            **{"idle_gpus": self.idle, "why": str(self.why()), "top": top},
            **{"breakdown_s": self.times[0].parts, "runner_up_breakdown_s": self.runner_up_parts},
        }

    @property
    def runner_up_parts(self) -> dict[str, float]:
        """Seconds of the second best layout's step by part; nothing where there is none."""
        return self.times[1].parts if len(self.times) > 1 else {}

    def why(self) -> Said:
        """A sentence: what the best layout saves, and what it pays, beside the runner-up."""
        if len(self.top) < 2:
            return said("No other layout fits.")
        one, other = self.times[0].parts, self.times[1].parts
        differences = {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}}
        largest = sorted(differences.items(), key=lambda item: (-abs(item[1]), item[0]))[:3]
        parts = [said("{part} {seconds:+.3f} s", part=said(name.replace("_", " ")), seconds=s) for name, s in largest]
        return said(
            "The best takes {total:.3f} s a step less than the runner-up; the largest differences: {parts}.",
            total=self.top[1].seconds - self.best.seconds,
            parts=parts,
        )


def search(
    job: Job,
    gpus: int,
    grid: Grid = WHOLE,
    cost: StepCost | None = None,
    max_seconds: float = 60.0,
    priced: int = PRICED,
    keep: int = TOP,
) -> SearchResult:
    """The layout on up to `gpus` chips with the shortest step of a job.

    grid: what is tried of what exists. cost: of the job, where others have asked it before. max_seconds: the time after
    which the search stops with what it has. priced: layouts to price before any is passed over; with 0 the best are the
    same, sooner, and fewer stand behind them. keep: how many are the best. Raises UserError where nothing fits.
    """
    arch, chip, seq, global_batch = job.arch, job.chip, job.seq, job.global_batch
    if gpus < 1 or seq < 1 or global_batch < 1:
        raise UserError(
            f"gpus, seq and global_batch must be at least 1; found gpus={gpus}, seq={seq}, global_batch={global_batch}."
        )
    cost = cost or StepCost(job)
    stop = time.monotonic() + max_seconds
    run = _Run(cost, grid, keep)
    waiting: list[Waiting] = []
    complete = True
    for shape in shapes(job, gpus, grid) if priced else ():
        if shape.widest and run.feasible < priced:
            run.price(shape)
        else:
            waiting.append((cost.least_seconds(shape.layout()), len(waiting), shape))
        if run.top and time.monotonic() > stop:
            complete = False
            break
    for family in families(job, gpus, grid) if not priced else ():
        fewest, most = family.ends()
        waiting.append((cost.least_seconds(most.layout(), fewest.layout().gpus), len(waiting), family))
    for least, shape in _in_turn(cost, waiting):
        if least > run.bound:
            break
        if run.top and time.monotonic() > stop:
            complete = False
            break
        run.price(shape, passing_over=not priced)
    if not run.top:
        raise UserError(
            said(
                "No layout of {model} fits {gpus} x {chip} ({memory:g} GB) with sequences of {seq} tokens, {tried:,} "
                "tried; use more chips, chips with more memory, or shorter sequences.",
                model=arch.name,
                gpus=gpus,
                chip=chip.name,
                memory=chip.memory_gb or 0,
                seq=seq,
                tried=run.tried,
            )
        )
    top = tuple(Candidate(layout, order[0], global_batch * seq / order[0]) for order, layout in run.top)
    times = tuple(cost.times(candidate.layout) for candidate in top[:2])
    return SearchResult(gpus, run.tried, run.feasible, complete, top, times, cost)


# Seconds that the arithmetic alone takes, a number that tells equals apart, and what takes them.
Waiting = tuple[float, int, Shape | Family]


def _in_turn(cost: StepCost, waiting: list[Waiting]) -> Iterator[tuple[float, Shape]]:
    """The shapes that wait, with their seconds, the least first; a family is opened when its turn comes."""
    heapify(waiting)
    numbers = count(len(waiting))
    while waiting:
        least, _, first = heappop(waiting)
        if isinstance(first, Shape):
            yield least, first
            continue
        for shape in first.shapes():
            heappush(waiting, (cost.least_seconds(shape.layout()), next(numbers), shape))


Order = tuple[float, int, int, int, int, int]


def _order(seconds: float, layout: Layout) -> Order:
    """The faster, among equals the one on fewer chips, then the plainer."""
    return seconds, layout.gpus, layout.tp * layout.cp, layout.pp * layout.vp, layout.ep, layout.zero


class _Run:
    """What a search has seen so far: how much, and the best in order."""

    def __init__(self, cost: StepCost, grid: Grid, keep: int) -> None:
        self.cost, self.grid, self.keep = cost, grid, keep
        self.tried = self.feasible = 0
        self.bound = float("inf")  # seconds of the last of the best
        self.top: list[tuple[Order, Layout]] = []

    def price(self, shape: Shape, passing_over: bool = False) -> None:
        """Price a shape's layouts that fit. passing_over: but for those that cannot be among the best."""
        cost, job = self.cost, self.cost.job
        sharding = sharding_of(shape, job.global_batch, self.grid)
        states: dict[bool, list[tuple[int, float]]] = {}  # what is left beside them, by DualPipe's second copy
        least = functools.cache(lambda recompute: cost.least_scheduled(shape.layout(recompute=recompute)))
        for schedule, vp in schedules_of(shape, job, self.grid):
            self.tried += len(sharding) * len(RECOMPUTE)
            if passing_over and least("none")(schedule, vp) > self.bound:
                continue
            twice = schedule == "dualpipe"
            if twice not in states:
                room = [(zero, cost.limit - cost.states_bytes(shape.layout(schedule, vp, zero))) for zero in sharding]
                states[twice] = [(zero, left) for zero, left in room if left > 0]
            for recompute in RECOMPUTE if states[twice] else ():
                if passing_over and least(recompute)(schedule, vp) > self.bound:
                    break
                needed = cost.passing_bytes(shape.layout(schedule, vp, 1, recompute))
                for zero, left in states[twice]:
                    if needed <= left:
                        self.feasible += 1
                        layout = shape.layout(schedule, vp, zero, recompute)
                        self._keep(cost.seconds(layout), layout)

    def _keep(self, seconds: float, layout: Layout) -> None:
        if seconds > self.bound:
            return
        insort(self.top, (_order(seconds, layout), layout), key=itemgetter(0))
        del self.top[self.keep :]
        if len(self.top) == self.keep:
            self.bound = self.top[-1][0][0]
