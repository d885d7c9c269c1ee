"""The fastest layout that fits: every way to spread a model over up to so many chips, priced one by one.

The candidates are whole: every degree that divides heads, experts, layers and batch, every schedule, and every number
of replicas, those that leave chips idle too. So a larger machine's candidates contain a smaller one's, and more chips
are never slower. A shape whose arithmetic alone takes longer than the tenth best layout so far is passed over where it
has fewer replicas than could be had, or once `PRICED` layouts have been; that cannot change the ten best.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from operator import itemgetter
from typing import Any, Protocol

from centime.catalogue.architecture import Architecture, Experts, FeedForward, SoftmaxAttention
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.layout import Layout, Recompute, Schedule, text
from centime.plan.text import Said, said

MICRO_BATCHES = (1, 2, 4, 8, 16)  # sequences; more at once only cost memory
CONTEXT = (1, 2, 4, 8, 16, 32, 64)
CHUNKS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
PRICED = 25_000
TOP = 10
LONG = 4096  # tokens; shorter slices of a sequence are not worth context parallelism


class CostModel(Protocol):
    """What the search asks of a predictor."""

    limit: float  # bytes of a chip that a run may fill

    def seconds(self, layout: Layout) -> float:
        """Of one optimizer step."""

    def least_seconds(self, layout: Layout) -> float:
        """What no layout of these tp, pp, cp, ep, dp and micro-batch takes less than, whatever else it chooses."""

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
        """What was tried, what is left idle, why, and the ten best as `plan.layout.parse` reads them."""
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


@dataclass(frozen=True, slots=True)
class Shape:
    """The degrees that decide a stage's arithmetic."""

    tp: int
    cp: int
    pp: int
    dp: int
    ep: int
    micro_batch: int
    widest: bool  # no more replicas could be had

    def layout(self, schedule: Schedule = "1f1b", vp: int = 1, zero: int = 1, recompute: Recompute = "none") -> Layout:
        """The shape with the rest chosen."""
        gpus = self.tp * self.cp * self.pp * self.dp
        return Layout(gpus, self.tp, self.pp, vp, self.cp, self.ep, zero, self.micro_batch, schedule, recompute)


def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def _tensor_degrees(arch: Architecture, chip: Chip, gpus: int) -> list[int]:
    """Divisors of every layer's heads and widths, within the scale-up domain; key-value heads divide or repeat."""
    widths = [block.mixer.heads for block in arch.blocks if block.mixer is not None]
    widths += [block.feed_forward.width for block in arch.blocks if isinstance(block.feed_forward, FeedForward)]
    groups = [block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)]
    limit = min(gpus, int(chip.scaleup_domain or 1))
    return [tp for tp in _divisors(gcd(*widths)) if tp <= limit and all(kv % tp == 0 or tp % kv == 0 for kv in groups)]


def _pipeline_degrees(arch: Architecture, gpus: int) -> list[int]:
    """Powers of two, 3, 5 and 7 times them, and what divides the layers, up to one stage a layer."""
    usual = {k << i for k in (1, 3, 5, 7) for i in range(12)}
    return sorted(pp for pp in usual | set(_divisors(arch.layers)) if pp <= min(arch.layers, gpus))


def shapes(arch: Architecture, chip: Chip, gpus: int, seq: int, global_batch: int) -> Iterator[Shape]:
    """All shapes on up to `gpus` chips whose replicas and micro-batches divide the batch."""
    experts = [block.feed_forward.experts for block in arch.blocks if isinstance(block.feed_forward, Experts)]
    expert_degrees = _divisors(gcd(*experts)) if experts else [1]
    context = [cp for cp in CONTEXT if cp == 1 or (seq % (2 * cp) == 0 and seq // cp >= LONG)]
    pipeline = _pipeline_degrees(arch, gpus)
    for tp in _tensor_degrees(arch, chip, gpus):
        for cp in context:
            for pp in pipeline:
                most = gpus // (tp * cp * pp)
                for micro_batch in MICRO_BATCHES:
                    if most < 1 or global_batch % micro_batch:
                        continue
                    replicas = [dp for dp in _divisors(global_batch // micro_batch) if dp <= most]
                    for ep in expert_degrees:
                        fitting = [dp for dp in replicas if tp * cp * dp % ep == 0]
                        for dp in fitting:
                            yield Shape(tp, cp, pp, dp, ep, micro_batch, dp == fitting[-1])


def schedules_of(
    shape: Shape | Layout, arch: Architecture, global_batch: int, chunks: tuple[int, ...] = CHUNKS
) -> Iterator[tuple[Schedule, int]]:
    """The schedules and numbers of chunks that exist for a shape, whatever its own."""
    pp, micro_batches = shape.pp, global_batch // (shape.dp * shape.micro_batch)
    yield "1f1b", 1
    if pp == 1:
        return
    yield "zb", 1
    if micro_batches >= 2 * pp:
        if pp % 2 == 0 and micro_batches % 2 == 0:
            yield "dualpipe", 1
        if 2 * pp <= arch.layers:
            yield "dualpipev", 1
    for vp in chunks:
        if vp * pp <= arch.layers:
            yield "interleaved", vp


def sharding_of(shape: Shape, global_batch: int) -> tuple[int, ...]:
    """ZeRO stages worth a look.

    2 only where a replica has one micro-batch: gradients kept in shards are otherwise reduced after every one of them,
    and then weights may as well be sharded.
    """
    if shape.dp * shape.cp == 1 and shape.tp * shape.cp * shape.dp == shape.ep:
        return (0,)
    return (0, 1, 2, 3) if global_batch == shape.dp * shape.micro_batch else (0, 1, 3)


def search(
    arch: Architecture,
    chip: Chip,
    gpus: int,
    seq: int,
    global_batch: int,
    precision: str = "bf16",
    cost: CostModel | None = None,
    max_seconds: float = 60.0,
    software_date: str | None = None,
) -> SearchResult:
    """The layout on up to `gpus` chips with the shortest step of `global_batch` sequences of `seq` tokens.

    cost: who prices a layout; where it is not given, the step predictor with `precision` and `software_date`.
    max_seconds: the time after which the search stops with what it has. Raises UserError where nothing fits.
    """
    if gpus < 1 or seq < 1 or global_batch < 1:
        raise UserError(
            f"gpus, seq and global_batch must be at least 1; found gpus={gpus}, seq={seq}, global_batch={global_batch}."
        )
    if cost is None:
        from centime.plan.layout_cost import StepCost
        from centime.plan.prediction import software_of

        cost = StepCost(arch, chip, seq, global_batch, precision, software_of(software_date))
    stop = time.monotonic() + max_seconds
    run = _Run(arch, global_batch, cost)
    later = []  # by the seconds that their arithmetic alone takes
    complete = True
    for shape in shapes(arch, chip, gpus, seq, global_batch):
        if shape.widest and run.feasible < PRICED:
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
        run.price(shape)
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

    def price(self, shape: Shape) -> None:
        """Price all of a shape's layouts that fit."""
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
