"""One of the hundreds of training steps that `plan explain` and `plan lifetime` compare, in its best layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.plan.counts.adapters import Adapters
from centime.plan.counts.architecture import count_architecture
from centime.plan.layouts.candidates import POWERS, Grid
from centime.plan.layouts.search import SearchResult, search
from centime.plan.step.intervals import step_interval
from centime.plan.step.job import Job
from centime.plan.step.layout import Schedule
from centime.plan.step.prediction import software_of
from centime.plan.training.goodput import goodput

# The degrees that matter most, in powers of two, every chip at work that the batch can feed. The runs at both ends are
# searched like their neighbours; what `plan train` finds beyond is "layout".
SHORT = Grid((1, 2, 4, 8), POWERS, POWERS, POWERS, micro_batches=(1, 2), chunks=(2, 4, 7), zero=(1, 3), widest=True)


@dataclass(frozen=True)
class SearchedStep:
    """A training step to be priced. schedule: the pipeline's kind, None where any may be tried.

    The layout is always searched for, under the same rules for every one, so that none has the advantage of a
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
    optimizer: str = "adamw"
    adapters: Adapters | None = None

    @property
    def job(self) -> Job:
        """What its step computes."""
        software = software_of(self.software_date or None)
        return Job(
            self.arch, self.chip, self.seq, self.global_batch, self.precision, software, self.optimizer, self.adapters
        )

    @property
    def total_params(self) -> float:
        return float(count_architecture(self.arch).total_params)


# GPU-seconds per token of one under the best layout; raises UserError where none is feasible.
SecondsPerToken = Callable[[SearchedStep], float]


@dataclass
class Searcher:
    """The best layout of each, searched once."""

    found: dict[SearchedStep, SearchResult] = field(default_factory=dict)

    def __call__(self, at: SearchedStep) -> float:
        """GPU-seconds per token under the best layout, failures included. Raises UserError where none is feasible."""
        seconds = self._searched(at).best.seconds
        return at.gpus * seconds / (at.global_batch * at.seq) / goodput(at.gpus).share

    def interval(self, at: SearchedStep) -> tuple[float, float]:
        """Factors on `self(at)` between which the actual lies in four of five cases."""
        found = self._searched(at)
        return step_interval(at.job, found.best.layout, found.times[0])

    def _searched(self, at: SearchedStep) -> SearchResult:
        if at not in self.found:
            try:
                self.found[at] = search(at.job, at.gpus, replace(SHORT, schedule=at.schedule), priced=0, keep=1)
            except UserError:
                if at.schedule is None:
                    raise
                self.found[at] = self._searched(replace(at, schedule=None))  # the schedule cannot be had at all
        return self.found[at]
