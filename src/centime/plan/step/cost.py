"""Seconds and bytes of a job in one layout or in thousands: what several layouts share is computed once."""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import TypeVar

from centime.plan.step.efficiency import Constants, fitted
from centime.plan.step.job import Job, workload
from centime.plan.step.layout import BIDIRECTIONAL, Layout, Schedule
from centime.plan.step.memory import AS_STATED, Recomputed, passing_of, states_of, usable_bytes
from centime.plan.step.micro_batch import MicroBatchTimes, whole_of
from centime.plan.step.pipeline import Pipeline, whole_seconds
from centime.plan.step.times import (
    Once,
    Passed,
    StepTimes,
    finished,
    micro_batches_of,
    once_of,
    once_seconds,
    pace,
    passes_of,
    sent_seconds,
    total_seconds,
)

Key = TypeVar("Key")
Found = TypeVar("Found")


class StepCost:
    """Prices the layouts of a job, and says how little a layout can take before it is priced."""

    def __init__(self, job: Job, constants: Constants | None = None) -> None:
        self.job, self.constants = job, constants or fitted()
        self.load = workload(job, self.constants)
        self.limit = usable_bytes(job.chip)
        self.models: dict[tuple[object, ...], MicroBatchTimes] = {}
        self.stages: dict[tuple[object, ...], MicroBatchTimes] = {}
        self.least: dict[tuple[int, ...], tuple[float, float]] = {}
        self.states: dict[tuple[int, ...], float] = {}
        self.passing: dict[tuple[int | str, ...], float] = {}
        self.once: dict[tuple[int, ...], Once] = {}
        self.paces: dict[tuple[int, str, int], float] = {}
        self.ends: dict[int, tuple[float, float]] = {}
        self.last: tuple[object, ...] = ()
        self.passed: Passed

    def times(self, layout: Layout, recomputed: Recomputed | None = None) -> StepTimes:
        """Seconds of one optimizer step, by part. recomputed: None: as the layout says."""
        passed = self._passed(layout, recomputed or AS_STATED[layout.recompute])
        return finished(passed, self._once(layout), self.constants)

    def seconds(self, layout: Layout) -> float:
        """The total of `times`."""
        return total_seconds(self._passed(layout).running, self._once(layout), self.constants)

    def fits(self, layout: Layout) -> bool:
        """Whether the chip's memory holds it."""
        return self.states_bytes(layout) + self.passing_bytes(layout) <= self.limit

    def states_bytes(self, layout: Layout) -> float:
        """Bytes a chip of weights, gradients and optimizer. Micro-batch and recomputation play no part in them, and of
        the schedules DualPipe alone, which keeps a second copy of the model."""
        key = (layout.tp, layout.pp, layout.cp, layout.dp, layout.ep, layout.zero, layout.schedule == "dualpipe")
        return _kept(self.states, key, lambda: sum(states_of(self.load.work, self.job, layout)))

    def passing_bytes(self, layout: Layout) -> float:
        """Bytes a chip of activations and buffers. `zero` and `ep` play no part in them."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.vp, layout.micro_batch),
            *(layout.schedule, layout.recompute, layout.micro_batches(self.job.global_batch)),
        )
        return _kept(self.passing, key, lambda: sum(passing_of(self.load.work, self.job, layout)))

    def least_seconds(self, layout: Layout, fewest: int | None = None) -> float:
        """Seconds that every layout of these degrees and this micro-batch takes at least: its micro-batches on the mean
        stage, with nothing recomputed, experts' traffic hidden as far as DualPipe hides it, and no bubble.

        fewest: also of those on fewer chips, by fewer replicas, down to so many.
        """
        whole, hidden = self._least(layout)
        running = layout.micro_batches(self.job.global_batch) * (whole - hidden) / layout.pp
        return self._at_least(layout.gpus if fewest is None else fewest, running)

    def least_scheduled(self, layout: Layout) -> Callable[[Schedule, int], float]:
        """By schedule and number of chunks: seconds that every layout of this shape takes at least, sharded in any way
        and recomputing at least as much. Its micro-batches take that long, a step's end as long as it does at least."""
        model, pp = self._model(layout), layout.pp
        micro_batches = layout.micro_batches(self.job.global_batch)
        passes = {both_ways: passes_of(self.load, model, both_ways) for both_ways in (False, True)}
        sent = sent_seconds(self.load, layout) if pp > 1 else 0.0

        def seconds(schedule: Schedule, vp: int) -> float:
            pipeline = Pipeline(schedule, pp, vp, micro_batches)
            running = whole_seconds(pipeline, passes[schedule in BIDIRECTIONAL], self._pace(schedule, pp, vp))
            return self._at_least(layout.gpus, running + vp * sent)

        return seconds

    def _least(self, layout: Layout) -> tuple[float, float]:
        """Seconds of a micro-batch through all stages with nothing recomputed, and those that DualPipe may hide."""

        def find() -> tuple[float, float]:
            parts = self._model(layout, AS_STATED["none"]).parts
            return sum(parts.values()), (1.0 - self.constants.overlapped_exposed) * parts["expert_parallel"]

        return _kept(self.least, (layout.tp, layout.cp, layout.ep, layout.micro_batch), find)

    def _at_least(self, gpus: int, running: float) -> float:
        """With what a step's end and the machine's size add to any layout on so many chips."""

        def find() -> tuple[float, float]:
            doublings = log2(max(1.0, gpus / 8))
            synchronised = once_seconds(self.job.software, self.constants)
            synchronised += 3.0 * self.constants.doubling_us * 1e-6 * doublings
            # sums in another order round otherwise
            return synchronised, (1.0 + self.constants.scale * doublings) * (1.0 - 1e-12)

        synchronised, stretch = _kept(self.ends, gpus, find)
        return (running + synchronised) * stretch

    def _once(self, layout: Layout) -> Once:
        key = (
            *(layout.gpus, layout.tp, layout.pp, layout.cp, layout.ep, layout.zero, layout.micro_batch),
            layout.schedule == "dualpipe",
        )
        return _kept(self.once, key, lambda: once_of(self.load, layout))

    def _model(self, layout: Layout, again: Recomputed | None = None) -> MicroBatchTimes:
        """One micro-batch through all stages: layouts that differ in `pp` share it."""
        again = again or AS_STATED[layout.recompute]
        key = (layout.tp, layout.cp, layout.ep, layout.micro_batch, again)
        return _kept(self.models, key, lambda: whole_of(self.load, layout, again))

    def _pace(self, schedule: Schedule, pp: int, vp: int) -> float:
        return _kept(self.paces, (pp, schedule, vp), lambda: pace(self.load, schedule, pp, vp))

    def _stage(self, layout: Layout, again: Recomputed) -> MicroBatchTimes:
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch, again)
        return _kept(self.stages, key, lambda: self._model(layout, again).cut(layout.pp))

    def _passed(self, layout: Layout, again: Recomputed | None = None) -> Passed:
        """Layouts that differ in `zero` alone come one after the other: the last schedule is kept."""
        again = again or AS_STATED[layout.recompute]
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.ep, layout.gpus, layout.micro_batch),
            *(layout.schedule, layout.vp, again),
        )
        if key != self.last:
            stage = self._stage(layout, again)
            self.passed = micro_batches_of(self.load, stage, layout, self._pace(layout.schedule, layout.pp, layout.vp))
            self.last = key
        return self.passed


def _kept(known: dict[Key, Found], key: Key, find: Callable[[], Found]) -> Found:
    """What is known by the key, found and kept where it is not."""
    found = known.get(key)
    if found is None:
        found = known[key] = find()
    return found
