"""The fastest layout that fits: every way to spread a model over up to so many chips, priced one by one.

The candidates are whole: every degree that divides heads, experts, layers and batch, every schedule, and every number
of replicas, those that leave chips idle too. So a larger machine's candidates contain a smaller one's, and more chips
are never slower. A shape whose arithmetic alone takes longer than the tenth best layout so far is passed over where it
has fewer replicas than could be had, or once `PRICED` layouts have been; that cannot change the ten best.
"""

from __future__ import annotations

import time
from bisect import insort
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

from centime.catalogue.architecture import Architecture
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.layouts.candidates import RECOMPUTE, Shape, schedules_of, shapes, sharding_of
from centime.plan.layouts.cost import StepCost
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout, text

PRICED = 25_000
TOP = 10


class CostModel(Protocol):
    """What the search asks of a predictor."""

    limit: float  # bytes of a chip that a run may fill

    def seconds(self, layout: Layout) -> float:
        """Of one optimizer step."""

    def least_seconds(self, layout: Layout) -> float:
        """What no layout of these tp, pp, cp, ep, dp and micro-batch takes less than, whatever else it chooses."""

    def is_slower(self, layout: Layout, than: float) -> bool:
        """Whether no layout of this shape, schedule and chunks takes as little as `than` seconds."""

    def states_bytes(self, layout: Layout) -> float:
        """Of weights, gradients and optimizer, which recomputation and chunks do not change, nor any schedule but
        DualPipe."""

    def passing_bytes(self, layout: Layout) -> float:
        """Of all else that a chip holds, which `zero` does not change."""

    def breakdown(self, layout: Layout) -> dict[str, float]:
        """Seconds of a step by part."""


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
    first. breakdown, runner_up_breakdown: seconds of a step by part. complete: False where the time limit cut it short.
    """

    gpus: int
    tried: int
    feasible: int
    complete: bool
    top: tuple[Candidate, ...]
    breakdown: dict[str, float]
    runner_up_breakdown: dict[str, float]

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
                "tokens_per_s": one.tokens_per_s,
            }
            for one in self.top
        ]
        return {
            **{"tried": self.tried, "feasible": self.feasible, "complete": self.complete},
            **{"idle_gpus": self.idle, "why": str(self.why()), "top": top},
            **{"breakdown_s": self.breakdown, "runner_up_breakdown_s": self.runner_up_breakdown},
        }

    def why(self) -> Said:
        """A sentence: what the best layout saves, and what it pays, beside the runner-up."""
        if len(self.top) < 2:
            return said("No other layout fits.")
        differences = {
            name: self.breakdown.get(name, 0.0) - self.runner_up_breakdown.get(name, 0.0)
            for name in {*self.breakdown, *self.runner_up_breakdown}
        }
        largest = sorted(differences.items(), key=lambda item: (-abs(item[1]), item[0]))[:3]
        return said(
            "The best takes {total} s a step less than the runner-up; the largest differences: {parts}.",
            total=f"{self.top[1].seconds - self.best.seconds:.3f}",
            parts=", ".join(f"{name.replace('_', ' ')} {seconds:+.3f} s" for name, seconds in largest),
        )


def search(
    job: Job, gpus: int, cost: CostModel | None = None, max_seconds: float = 60.0, priced: int = PRICED
) -> SearchResult:
    """The layout on up to `gpus` chips with the shortest step of a job.

    cost: who prices a layout; where it is not given, the step predictor.
    max_seconds: the time after which the search stops with what it has. priced: layouts to price before any is passed
    over; with 0 the ten best are the same, sooner, and fewer stand behind them. Raises UserError where nothing fits.
    """
    arch, chip, seq, global_batch = job.arch, job.chip, job.seq, job.global_batch
    if gpus < 1 or seq < 1 or global_batch < 1:
        raise UserError(
            f"gpus, seq and global_batch must be at least 1; found gpus={gpus}, seq={seq}, global_batch={global_batch}."
        )
    if cost is None:
        cost = StepCost(job)
    stop = time.monotonic() + max_seconds
    run = _Run(arch, global_batch, cost)
    later = []  # by the seconds that their arithmetic alone takes
    complete = True
    for shape in shapes(arch, chip, gpus, seq, global_batch):
        if shape.widest and run.feasible < priced:
            run.price(shape)
        else:
            later.append((cost.least_seconds(shape.layout()), shape))
        if run.top and time.monotonic() > stop:
            complete = False
            break
    later.sort(key=itemgetter(0))
    for least, shape in later:
        if least > run.bound:
            break
        if run.top and time.monotonic() > stop:
            complete = False
            break
        run.price(shape, passing_over=not priced)
    if not run.top:
        raise UserError(
            f"No layout of {arch.name} fits {gpus} x {chip.name} ({chip.memory_gb or 0:g} GB) with sequences of {seq} "
            f"tokens, {run.tried:,} tried; use more chips, chips with more memory, or shorter sequences."
        )
    top = tuple(Candidate(layout, order[0], global_batch * seq / order[0]) for order, layout in run.top)
    runner_up = cost.breakdown(top[1].layout) if len(top) > 1 else {}
    return SearchResult(gpus, run.tried, run.feasible, complete, top, cost.breakdown(top[0].layout), runner_up)


Order = tuple[float, int, int, int, int, int]


def _order(seconds: float, layout: Layout) -> Order:
    """The faster, among equals the one on fewer chips, then the plainer."""
    return seconds, layout.gpus, layout.tp * layout.cp, layout.pp * layout.vp, layout.ep, layout.zero


class _Run:
    """What a search has seen so far: how much, and the ten best in order."""

    def __init__(self, arch: Architecture, global_batch: int, cost: CostModel) -> None:
        self.arch, self.global_batch, self.cost = arch, global_batch, cost
        self.tried = self.feasible = 0
        self.bound = float("inf")  # seconds of the tenth best
        self.top: list[tuple[Order, Layout]] = []

    def price(self, shape: Shape, passing_over: bool = False) -> None:
        """Price a shape's layouts that fit. passing_over: but for schedules that cannot be among the ten best."""
        cost, sharding = self.cost, sharding_of(shape, self.global_batch)
        states: dict[bool, list[tuple[int, float]]] = {}  # what is left beside them, by DualPipe's second copy
        for schedule, vp in schedules_of(shape, self.arch, self.global_batch):
            self.tried += len(sharding) * len(RECOMPUTE)
            twice = schedule == "dualpipe"
            if twice not in states:
                room = [(zero, cost.limit - cost.states_bytes(shape.layout(schedule, vp, zero))) for zero in sharding]
                states[twice] = [(zero, left) for zero, left in room if left > 0]
            if not states[twice]:
                continue
            if passing_over and cost.is_slower(shape.layout(schedule, vp), self.bound):
                continue
            for recompute in RECOMPUTE:
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
        del self.top[TOP:]
        if len(self.top) == TOP:
            self.bound = self.top[-1][0][0]
