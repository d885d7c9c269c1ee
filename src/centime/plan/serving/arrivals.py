"""Requests arrive at random, wait, are prefilled and decoded: a discrete-event simulation of one unit, step by step.

Arrivals are Poisson, lengths log-normal about their means, both from a seed. A unit that prefills steps all its
attention groups together, each taking prompts from its own queue (a request joins the shortest), and a step lasts as
long as its fullest group makes it, but for the experts, which all groups share. A unit that decodes gives every
sequence a token a step; new ones join between steps. A unit that does both carries a chunk of prompts in each step.

The time of a step comes from the roofline (plan/serving/roofline.py) at a few loads, with straight lines in between.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from centime.plan.serving.choice import Lengths
from centime.plan.serving.engine import EngineModel
from centime.plan.serving.roofline import Load, StepTime

VARIATION = 0.5  # coefficient of variation of prompt and answer lengths: assumed, no source publishes a trace
REQUESTS = 2000  # simulated, and four times the batch; the first half fills the unit and is not counted
GROUPS = 8  # attention groups of a decode unit that are simulated; the others do as they do
SEED = 20250227

Role = Literal["mixed", "prefill", "decode"]  # what a unit does with its requests


@dataclass(frozen=True)
class Latency:
    """Percentiles in seconds over the requests that were counted."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """From a list; infinite where nothing was counted."""
        if not seconds:
            return cls(math.inf, math.inf, math.inf)
        ordered = sorted(seconds)
        return cls(*(ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.9, 0.99)))


@dataclass(frozen=True)
class Simulated:
    """What a load does to a unit: time to first token, and time per token after it, per request."""

    requests_per_s: float
    ttft: Latency
    tpot: Latency


class StepClock:
    """Seconds of a step by interpolation: what each group does for itself, and what all groups do together.

    A group's own matrices and attention take as long as the fullest group's; experts and the transfers to them take as
    long as all tokens make them. The least load of the tables is one sequence or one token, not none: a step has its
    launches and reads its weights however little there is to do.
    """

    def __init__(self, engine: EngineModel, lengths: Lengths, decode_most: float, chunk: float) -> None:
        shares = (0.0, 0.03, 0.06, 0.12, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0)
        self.decodes = [decode_most * share for share in shares] if decode_most else [0.0]
        self.prefills = [chunk * share for share in (0.0, 0.12, 0.25, 0.5, 1.0)] if chunk else [0.0]
        groups = engine.unit.dp
        isl, osl, hit = lengths.isl, lengths.osl, lengths.hit
        new = max(1.0, isl * (1 - hit))

        def step(decode: float, prefill: float) -> StepTime:
            if decode + prefill == 0:
                decode, prefill = (1.0, 0.0) if decode_most else (0.0, 1.0 / groups)
            load = Load(
                decode, isl + osl / 2, prefill * groups, new, isl * hit, queries=1.0 + engine.drafted if decode else 1.0
            )
            return engine.step(load)

        steps = [[step(d, p) for p in self.prefills] for d in self.decodes]
        self.shared = [[one.experts + one.exposed_communication for one in row] for row in steps]
        self.own = [[one.total - one.experts - one.exposed_communication for one in row] for row in steps]

    def __call__(self, decode: float, fullest: float, mean: float | None = None) -> float:
        """Seconds of a step that decodes so many sequences; fullest and mean: prompt tokens of a group."""
        i, x = _between(self.decodes, decode)
        j, y = _between(self.prefills, fullest)
        own = _at(self.own, i, x, j, y)
        if mean is not None and mean != fullest:
            j, y = _between(self.prefills, mean)
        return own + _at(self.shared, i, x, j, y)


def _at(rows: list[list[float]], i: int, x: float, j: int, y: float) -> float:
    """Between four points of a table: so far into interval i of its rows and interval j of their columns."""
    row = rows[i]
    low = row[j] if y == 0 else row[j] * (1 - y) + row[j + 1] * y
    if x == 0:
        return low
    row = rows[i + 1]
    high = row[j] if y == 0 else row[j] * (1 - y) + row[j + 1] * y
    return low * (1 - x) + high * x


def _between(points: list[float], value: float) -> tuple[int, float]:
    """The interval of `points` that holds `value`, and how far into it; beyond the last: the last."""
    if value >= points[-1]:
        return len(points) - 1, 0.0
    i = bisect_right(points, value) - 1
    return i, (value - points[i]) / (points[i + 1] - points[i])


def simulate(
    engine: EngineModel,
    requests_per_s: float,
    lengths: Lengths,
    role: Role = "mixed",
    chunk: float = 8192.0,
    batch: float | None = None,
    seed: int = SEED,
) -> Simulated:
    """Run a unit at a load of so many requests a second. chunk: prompt tokens a group takes in a step.

    role: a unit that only decodes gets its requests prefilled, and its TTFT is the wait for room; one that only
    prefills lets them go after it, and its TPOT is empty. batch: the most sequences that decode at once; None: what
    memory holds.
    """
    dice = random.Random(seed)
    isl, osl, hit = lengths.isl, lengths.osl, lengths.hit
    most = batch if batch is not None else max(1.0, engine.room(isl + osl / 2))
    clock = StepClock(engine, lengths, 0.0 if role == "prefill" else most, 0.0 if role == "decode" else chunk)
    alike = max(1.0, engine.unit.dp / GROUPS) if role == "decode" else 1.0
    unit = _Unit(engine, clock, role, most / alike, chunk, alike)
    requests = REQUESTS + int(0 if role == "prefill" else 4 * most / alike)
    prompt = _lengths(dice, isl * (1 - hit)) if role != "decode" else lambda: 0.0
    ttft, tpot = unit.run(_poisson(requests_per_s / alike, (prompt, _lengths(dice, osl)), dice, requests))
    return Simulated(requests_per_s, ttft, tpot)


def replay(
    engine: EngineModel, requests: Sequence[Arrival], lengths: Lengths, role: Role, chunk: float, batch: float | None
) -> Simulated:
    """Run a unit with the requests that came, all of them counted. lengths: their means; the rest as `simulate`.

    Of a unit that only decodes, as many groups are run as there, with as large a share of the requests.
    """
    most = batch if batch is not None else max(1.0, engine.room(lengths.isl + lengths.osl / 2))
    clock = StepClock(engine, lengths, 0.0 if role == "prefill" else most, 0.0 if role == "decode" else chunk)
    alike = max(1, round(engine.unit.dp / GROUPS)) if role == "decode" else 1
    unit = _Unit(engine, clock, role, most / alike, chunk, alike)
    queue = (_Request(one.at_s, 0.0 if role == "decode" else one.prompt, one.answer, True) for one in requests[::alike])
    ttft, tpot = unit.run(queue)
    seconds = max(requests[-1].at_s - requests[0].at_s, 1e-9)
    return Simulated(len(requests) / seconds, ttft, tpot)


def _poisson(
    rate: float, draw: tuple[Callable[[], float], Callable[[], float]], dice: random.Random, requests: int
) -> Iterator[_Request]:
    """So many requests; draw: prompt tokens to prefill, and answers."""
    at = dice.expovariate(rate)
    for number in range(requests):
        yield _Request(at, draw[0](), draw[1](), number >= requests // 2)
        at += dice.expovariate(rate)


def _lengths(dice: random.Random, mean: float) -> Callable[[], float]:
    """Log-normal lengths, at least one token, with the mean asked for."""
    spread = math.sqrt(math.log(1 + VARIATION**2))
    middle = math.log(max(mean, 1.0)) - spread**2 / 2
    return lambda: max(1.0, dice.lognormvariate(middle, spread))


@dataclass(frozen=True)
class Arrival:
    """A request that came: when, its prompt tokens that no cache held, and its answer's."""

    at_s: float
    prompt: float
    answer: float


@dataclass
class _Request:
    arrived: float
    left: float  # prompt tokens still to prefill
    answer: float  # tokens to generate
    counted: bool
    begun: float = 0.0


class _Unit:
    """Queues, groups and the sequences that decode."""

    def __init__(
        self, engine: EngineModel, clock: StepClock, role: Role, most: float, chunk: float, alike: float
    ) -> None:
        self.clock, self.most, self.chunk, self.alike = clock, most, chunk, alike
        self.prefill, self.decode, self.gain = role != "decode", role != "prefill", engine.tokens_per_step
        groups = engine.unit.dp
        self.queues: list[deque[_Request]] = [deque() for _ in range(groups)]
        self.waiting: set[int] = set()  # groups with prompts in their queue
        self.backlog = [0.0] * groups
        self.ready: deque[_Request] = deque()
        self.running: list[tuple[float, int, _Request]] = []  # by the tokens given to each at which it ends
        self.given = 0.0  # tokens that a sequence would have that ran since the start
        self.started = 0
        self.ttft: list[float] = []
        self.tpot: list[float] = []

    def run(self, arrivals: Iterator[_Request]) -> tuple[Latency, Latency]:
        """Until all have arrived and left: times to first token, and times per token after it."""
        now, waited, left = 0.0, 0, 0
        upcoming = next(arrivals, None)
        while upcoming is not None or left < waited:
            while upcoming is not None and upcoming.arrived <= now:
                self._arrive(upcoming)
                waited += 1
                upcoming = next(arrivals, None)
            while self.ready and len(self.running) < self.most:
                self._start(self.ready.popleft(), now)
            through, fullest, mean = self._take()
            if not self.running and fullest == 0:
                assert upcoming is not None, "nothing runs, nothing waits and nobody comes"
                now = upcoming.arrived
                continue
            seconds = self.clock(len(self.running) * self.alike, fullest, mean)
            wait = math.inf if upcoming is None else upcoming.arrived - now
            steps = 1 if fullest else self._until_next(wait, seconds)
            now += steps * seconds
            left += self._finish(now, through, steps)
        return Latency.of(self.ttft), Latency.of(self.tpot)

    def _until_next(self, wait: float, seconds: float) -> int:
        """Steps, all alike, until a request arrives or an answer ends: nothing else changes what decodes."""
        ends = math.ceil((self.running[0][0] - self.given) / self.gain)
        return max(1, min(ends, math.ceil(min(wait / seconds, ends))))

    def _arrive(self, request: _Request) -> None:
        if request.left <= 0:
            self.ready.append(request)
            return
        group = min(range(len(self.backlog)), key=self.backlog.__getitem__)
        self.queues[group].append(request)
        self.waiting.add(group)
        self.backlog[group] += request.left

    def _take(self) -> tuple[list[_Request], float, float]:
        """A chunk of prompts in each group: the prompts that end with it, tokens of the fullest and the mean chunk."""
        through: list[_Request] = []
        fullest = total = 0.0
        room = self.most - len(self.running) if self.decode else math.inf
        for group in sorted(self.waiting):
            queue, budget = self.queues[group], self.chunk
            while queue and budget > 0 and len(through) < room:
                share = min(queue[0].left, budget)
                queue[0].left -= share
                self.backlog[group] -= share
                budget -= share
                if queue[0].left <= 0:
                    through.append(queue.popleft())
            if not queue:
                self.waiting.discard(group)
            fullest = max(fullest, self.chunk - budget)
            total += self.chunk - budget
        return through, fullest, total / len(self.queues)

    def _start(self, request: _Request, now: float) -> None:
        """A request has its first token, or its room in a unit that only decodes."""
        request.begun = now
        if request.counted:
            self.ttft.append(now - request.arrived)
        if self.decode:
            self.started += 1
            heapq.heappush(self.running, (self.given + request.answer, self.started, request))

    def _finish(self, now: float, through: list[_Request], steps: int = 1) -> int:
        """Steps end: every sequence has its tokens; how many requests left for good."""
        self.given += self.gain * steps
        left = 0
        while self.running and self.running[0][0] <= self.given:
            request = heapq.heappop(self.running)[2]
            left += 1
            if request.counted:
                self.tpot.append((now - request.begun) / request.answer)
        for request in through:
            self._start(request, now)
        return left if self.decode else len(through)
