"""What a step of each stage takes on this machine: timed in rounds, all stages in turn, and then forgotten.

Consecutive steps are alike (a whole quickstart's have an autocorrelation of 0.5 to 0.7 at lag 1), and a machine has
slow moments of a second or two. So the stages take turns, a burst hits all of them alike, and a stage is timed until
the error of its mean, autocorrelation counted, is small, or its time is up.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from centime.train.engine import Trainer, TrainingEngine
from centime.train.stages import Batch, StagePlan, StageRows, StepSettings

WARM_UP = 3  # steps of each kind that are not counted: the first allocate, compile, fill caches
LEAST_S, MOST_S = 1.0, 3.0  # seconds a stage is timed for
ERROR = 0.05  # of the mean, one standard deviation: small enough
SHARE = 0.5  # of what a stage itself will take: a short stage is not timed for longer
TRIM = 0.1  # of the samples on either side, left out of the mean
CORRELATION = 0.5  # of neighbouring steps, at least: what a few samples say about it is worth little
FEW = 0.15  # the error of one or two samples: steps so long that no more are timed vary less than short ones
WHOLE = 4  # micro-batches in a step that is timed whole; a step of more is timed as steps of one and of two


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of a step: `overhead` once, and `micro_batch` for each; error: one standard deviation over the mean.

    beside: what a step takes once beside its updates, by the line of the bill that it goes to.
    """

    overhead: float
    micro_batch: float
    error: float
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def once(self) -> float:
        """Seconds of a step that do not depend on its micro-batches."""
        return self.overhead + sum(self.beside.values())

    def times(self, factor: float, error: float) -> StepSeconds:
        """The same, slower or faster, and as uncertain as stated."""
        beside = {line: seconds * factor for line, seconds in self.beside.items()}
        return StepSeconds(self.overhead * factor, self.micro_batch * factor, error, beside)


@dataclass
class StepKind:
    """One shape of step of one stage, and how long it took."""

    step: Callable[[int], object]
    micro_batches: int
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Of the samples without their extremes."""
        return trimmed_mean(self.seconds)


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean without the TRIM smallest and largest."""
    cut = int(len(values) * TRIM)
    kept = sorted(values)[cut : len(values) - cut]
    return sum(kept) / len(kept)


def error_of_mean(values: Sequence[float]) -> float:
    """One standard deviation of the mean over the mean; n samples that are alike count as fewer.

    With an autocorrelation r at lag 1 they count as n (1 - r) / (1 + r), as in a first-order autoregression.
    """
    n, mean = len(values), sum(values) / len(values)
    if n < 3:
        return FEW
    differences = [value - mean for value in values]
    squares = sum(d * d for d in differences)
    if not squares:
        return 0.0
    lag = sum(a * b for a, b in itertools.pairwise(differences)) / squares
    r = min(0.9, max(CORRELATION, lag))
    independent = max(1.0, n * (1 - r) / (1 + r))
    return math.sqrt(squares / (n - 1) / independent) / mean


def measure(
    engine: TrainingEngine,
    plans: Sequence[StagePlan],
    micro_batches: Sequence[int],
    clip: float,
    budget: float = math.inf,
    part: float = 1.0,
) -> list[StepSeconds]:
    """Times steps of every stage's shapes with a learning rate of zero, then forgets the optimizer's moments.

    budget: seconds that the run may take; a tenth of them at most go into the timing. part: of each stage's steps, what
    the run will take, where its budget is one of tokens: no stage is timed for more than SHARE of that.
    """
    steps = [SHARE * part * plan.schedule.steps for plan in plans]
    stages = [_kinds(engine, plan, micro, clip) for plan, micro in zip(plans, micro_batches, strict=True)]
    for kinds, most_steps in zip(stages, steps, strict=True):
        for kind in kinds:
            _warm_up(engine, kind, min(WARM_UP, math.ceil(most_steps)))
    most = min(MOST_S, max(0.0, budget) / 10 / len(stages))
    open_ = list(range(len(stages)))
    turn = WARM_UP
    while open_:
        for i in open_:
            for kind in stages[i]:
                begin = time.perf_counter()
                kind.step(turn)
                kind.seconds.append(time.perf_counter() - begin)
        turn += 1
        enough = [_enough(stages[i], steps[i], most) for i in open_]
        votes = _shared(engine, enough)  # a step is a collective: every rank takes as many
        open_ = [i for i, done in zip(open_, votes, strict=True) if not done]
    engine.forget_moments()
    return [cost_of(kinds) for kinds in stages]


def _warm_up(engine: TrainingEngine, kind: StepKind, steps: int) -> None:
    """Steps that are not counted: so many, or fewer where they are long."""
    began = time.perf_counter()
    for turn in range(steps):
        kind.step(turn)
        if _shared(engine, [time.perf_counter() - began > LEAST_S])[0]:
            return


def _shared(engine: TrainingEngine, votes: list[bool]) -> list[bool]:
    """True where any rank says so."""
    counted = torch.tensor(votes, dtype=torch.int64)
    engine.all_reduce(counted)
    return [bool(count) for count in counted.tolist()]


def _kinds(engine: TrainingEngine, plan: StagePlan, micro_batch: int, clip: float) -> list[StepKind]:
    """The shapes to time: whole steps where all are alike and small, else steps of one and of two micro-batches."""
    trainer = Trainer(engine, micro_batch, clip)
    rows = plan.steps(engine.rank, engine.world)
    still = StepSettings(
        lr=0.0, mtp_weight=plan.stage.mtp_weight, bias_speed=0.0, balance_weight=plan.stage.balance_loss
    )
    sizes = plan.schedule.rows
    largest, together = int(sizes.max()), micro_batch * engine.world
    whole = -(-largest // together)
    if int(sizes.min()) == largest and whole <= WHOLE:
        counts = [largest]
    else:
        counts = sorted({min(together, largest), min(2 * together, largest)})

    def kind(count: int) -> StepKind:
        def step(turn: int) -> object:
            return trainer.step(_some(rows, count, turn), still)

        return StepKind(step, -(-count // together))

    return [kind(count) for count in counts]


def _some(rows: StageRows, count: int, turn: int) -> Batch:
    """`count` rows from the place of one of the stage's steps: pairs are not all as long as the first ones."""
    first = rows.schedule.first_row
    start = int(first[turn * 7919 % len(first)])  # a large prime: turns are spread over the stage
    return rows.rows.batch(start, count, *rows.place)


def _enough(kinds: Sequence[StepKind], steps: float, most: float) -> bool:
    """Whether a stage that is worth so many steps of timing, or `most` seconds, has been timed for long enough."""
    spent = sum(sum(kind.seconds) for kind in kinds)
    cost = cost_of(kinds)
    whole = steps * (cost.overhead + cost.micro_batch)
    if spent >= min(most, max(whole, 0.0)):
        return True
    return spent >= LEAST_S and cost.error < ERROR


def cost_of(kinds: Sequence[StepKind]) -> StepSeconds:
    """Of whole steps, or of steps of one micro-batch and of two: what they differ by is one, the rest each step's."""
    error = max(error_of_mean(kind.seconds) for kind in kinds)
    one = kinds[0].mean
    if len(kinds) == 1:
        return StepSeconds(0.0, one / kinds[0].micro_batches, error)
    each = max(kinds[1].mean - one, 0.5 * one)
    return StepSeconds(max(0.0, one - each), each, error)
