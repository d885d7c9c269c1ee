"""Seconds and bytes of a job in one layout or in thousands: what several layouts share is computed once."""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import TypeVar

from centime.plan.step.efficiency import Constants, fitted
from centime.plan.step.job import Job, workload
from centime.plan.step.layout import Layout
from centime.plan.step.memory import AS_STATED, Recomputed, passing_of, states_of, usable_bytes
from centime.plan.step.micro_batch import MicroBatchTimes, whole_of
from centime.plan.step.times import (
    Once,
    Passed,
    StepTimes,
    finished,
    micro_batches_of,
    once_of,
    once_seconds,
    pace,
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

    def times(self, layout: Layout, recomputed: Recomputed | None = None, adapters: bool = False) -> StepTimes:
        """Seconds of one optimizer step, by part. recomputed: None: as the layout says; adapters: frozen weights."""
        passed = self._passed(layout, recomputed or AS_STATED[layout.recompute], adapters)
        return finished(passed, self._once(layout, adapters), self.constants)

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
        return _kept(
            self.states, key, lambda: sum(states_of(self.load.work, layout, self.job.software, self.job.optimizer))
        )

    def passing_bytes(self, layout: Layout) -> float:
        """Bytes a chip of activations and buffers. `zero` and `ep` play no part in them."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.vp, layout.micro_batch),
            *(layout.schedule, layout.recompute, layout.micro_batches(self.job.global_batch)),
        )
        return _kept(self.passing, key, lambda: sum(passing_of(self.load.work, self.job, layout)))

    def least_seconds(self, layout: Layout) -> float:
        """Seconds that every layout of these degrees and this micro-batch takes at least: its micro-batches on the mean
        stage, with nothing recomputed, experts' traffic hidden as far as DualPipe hides it, and no bubble."""
        whole, hidden = self._least(layout)
        return self._at_least(layout, layout.micro_batches(self.job.global_batch) * (whole - hidden) / layout.pp)

    def is_slower(self, layout: Layout, than: float) -> bool:
        """Whether every layout of this shape, schedule and number of chunks, sharded in any way and recomputing at
        least as much, takes more than `than` seconds. First without laying out the schedule: only its ramps, on even
        stages."""
        pp, schedule = layout.pp, layout.schedule
        if pp > 1 and schedule not in ("dualpipe", "dualpipev"):
            micro_batches, model = layout.micro_batches(self.job.global_batch), self._model(layout)
            if schedule == "zb":
                f, b, w = model.forward, model.input_gradient, model.weight_gradient
                ramps = max((pp - 1) * (f + b) - (min(micro_batches, pp) - 1) * w, (pp - 1) * b)
            else:
                ramps = (pp - 1) * model.both / layout.vp
            if self._at_least(layout, (micro_batches * sum(model.parts.values()) + ramps) / pp) > than:
                return True
        return self._at_least(layout, self._passed(layout).running) > than

    def _least(self, layout: Layout) -> tuple[float, float]:
        """Seconds of a micro-batch through all stages with nothing recomputed, and those that DualPipe may hide."""

        def find() -> tuple[float, float]:
            parts = self._model(layout, AS_STATED["none"]).parts
            return sum(parts.values()), (1.0 - self.constants.overlapped_exposed) * parts["expert_parallel"]

        return _kept(self.least, (layout.tp, layout.cp, layout.ep, layout.micro_batch), find)

    def _at_least(self, layout: Layout, running: float) -> float:
        """With what a step's end and the machine's size add to any layout on so many chips."""

        def find() -> tuple[float, float]:
            doublings = log2(max(1.0, layout.gpus / 8))
            synchronised = once_seconds(self.job.software, self.constants)
            synchronised += 3.0 * self.constants.doubling_us * 1e-6 * doublings
            # sums in another order round otherwise
            return synchronised, (1.0 + self.constants.scale * doublings) * (1.0 - 1e-12)

        synchronised, stretch = _kept(self.ends, layout.gpus, find)
        return (running + synchronised) * stretch

    def _once(self, layout: Layout, adapters: bool = False) -> Once:
        key = (
            *(layout.gpus, layout.tp, layout.pp, layout.cp, layout.ep, layout.zero, layout.micro_batch),
            *(layout.schedule == "dualpipe", adapters),
        )
        return _kept(self.once, key, lambda: once_of(self.load, layout, adapters))

    def _model(self, layout: Layout, again: Recomputed | None = None, adapters: bool = False) -> MicroBatchTimes:
        """One micro-batch through all stages: layouts that differ in `pp` share it."""
        again = again or AS_STATED[layout.recompute]
        key = (layout.tp, layout.cp, layout.ep, layout.micro_batch, again, adapters)
        return _kept(self.models, key, lambda: whole_of(self.load, layout, again, adapters))

    def _stage(self, layout: Layout, again: Recomputed, adapters: bool) -> MicroBatchTimes:
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch, again, adapters)
        return _kept(self.stages, key, lambda: self._model(layout, again, adapters).cut(layout.pp))

    def _passed(self, layout: Layout, again: Recomputed | None = None, adapters: bool = False) -> Passed:
        """Layouts that differ in `zero` alone come one after the other: the last schedule is kept."""
        again = again or AS_STATED[layout.recompute]
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.ep, layout.gpus, layout.micro_batch),
            *(layout.schedule, layout.vp, again, adapters),
        )
        if key != self.last:
            stage = self._stage(layout, again, adapters)
            slowed = _kept(self.paces, (layout.pp, layout.schedule, layout.vp), lambda: pace(self.load, layout))
            self.passed = micro_batches_of(self.load, stage, layout, slowed)
            self.last = key
        return self.passed


def _kept(known: dict[Key, Found], key: Key, find: Callable[[], Found]) -> Found:
    """What is known by the key, found and kept where it is not."""
    found = known.get(key)
    if found is None:
        found = known[key] = find()
    return found
