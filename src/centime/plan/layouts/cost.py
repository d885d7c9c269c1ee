"""The planner's own predictor as the layout search asks it: seconds, memory and a lower bound of a layout."""

from __future__ import annotations

from math import log2

from centime.plan.step.efficiency import Constants, fitted
from centime.plan.step.job import Job, workload
from centime.plan.step.layout import Layout, Recompute
from centime.plan.step.memory import AS_STATED, passing_of, states_of, usable_bytes
from centime.plan.step.micro_batch import Stage, whole_of
from centime.plan.step.times import Once, Passed, finished, micro_batches_of, once_of, pace, total_seconds


class StepCost:
    """Prices the layouts of a job as `step.prediction.predict_step` does; what several share is computed once."""

    def __init__(self, job: Job, constants: Constants | None = None) -> None:
        self.job, self.constants = job, constants or fitted()
        self.load = workload(job, self.constants)
        self.limit = usable_bytes(job.chip)
        self.models: dict[tuple[int | str, ...], Stage] = {}
        self.stages: dict[tuple[int | str, ...], Stage] = {}
        self.least: dict[tuple[int, ...], tuple[float, float]] = {}
        self.states: dict[tuple[int, ...], float] = {}
        self.passing: dict[tuple[int | str, ...], float] = {}
        self.once: dict[tuple[int, ...], Once] = {}
        self.paces: dict[tuple[int, str, int], float] = {}
        self.ends: dict[int, tuple[float, float]] = {}
        self.last: tuple[int | str, ...] = ()
        self.passed: Passed

    def seconds(self, layout: Layout) -> float:
        """Of one optimizer step."""
        micro_batches = layout.micro_batches(self.job.global_batch)
        running = self._passed(layout).running
        return total_seconds(running, self._once(layout), layout.zero, micro_batches, self.constants)

    def breakdown(self, layout: Layout) -> dict[str, float]:
        """Seconds of a step by part."""
        micro_batches = layout.micro_batches(self.job.global_batch)
        return finished(self._passed(layout), self._once(layout), layout.zero, micro_batches, self.constants).parts

    def fits(self, layout: Layout) -> bool:
        """Whether the chip's memory holds it."""
        return self.states_bytes(layout) + self.passing_bytes(layout) <= self.limit

    def states_bytes(self, layout: Layout) -> float:
        """Of weights, gradients and optimizer: the same whatever micro-batch, recomputation or schedule (but for
        DualPipe's second copy of the model)."""
        key = (layout.tp, layout.pp, layout.cp, layout.dp, layout.ep, layout.zero, layout.schedule == "dualpipe")
        found = self.states.get(key)
        if found is None:
            found = self.states[key] = sum(states_of(self.load.work, layout, self.job.software))
        return found

    def passing_bytes(self, layout: Layout) -> float:
        """Of activations and buffers: the same however states are sharded and wherever experts are."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.vp, layout.micro_batch),
            *(layout.schedule, layout.recompute, layout.micro_batches(self.job.global_batch)),
        )
        found = self.passing.get(key)
        if found is None:
            found = self.passing[key] = sum(passing_of(self.load.work, self.job, layout))
        return found

    def least_seconds(self, layout: Layout) -> float:
        """Of all micro-batches on the mean stage, with nothing recomputed, experts' traffic hidden as far as DualPipe
        hides it, and no bubble."""
        whole, hidden = self._least(layout)
        return self._at_least(layout, layout.micro_batches(self.job.global_batch) * (whole - hidden) / layout.pp)

    def is_slower(self, layout: Layout, than: float) -> bool:
        """Whether every layout of this shape, schedule and chunks that recomputes as much or more takes longer than
        `than`, however sharded. First without laying out the schedule: only its ramps, on even stages."""
        pp, schedule = layout.pp, layout.schedule
        if pp > 1 and schedule not in ("dualpipe", "dualpipev"):
            micro_batches, model = layout.micro_batches(self.job.global_batch), self._model(layout, layout.recompute)
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
        key = (layout.tp, layout.cp, layout.ep, layout.micro_batch)
        found = self.least.get(key)
        if found is None:
            parts = self._model(layout, "none").parts
            hidden = (1.0 - self.constants.overlapped_exposed) * parts["expert_parallel"]
            found = self.least[key] = sum(parts.values()), hidden
        return found

    def _at_least(self, layout: Layout, running: float) -> float:
        """With what a step's end and the machine's size add to any layout on so many chips."""
        found = self.ends.get(layout.gpus)
        if found is None:
            doublings = log2(max(1.0, layout.gpus / 8))
            synchronised = (self.constants.step_ms + self.constants.doubling_ms * doublings) * 1e-3
            # sums in another order round otherwise
            found = self.ends[layout.gpus] = synchronised, (1.0 + self.constants.scale * doublings) * (1.0 - 1e-12)
        return (running + found[0]) * found[1]

    def _once(self, layout: Layout) -> Once:
        key = (layout.gpus, layout.tp, layout.pp, layout.cp, layout.ep, layout.zero, layout.micro_batch)
        found = self.once.get(key)
        if found is None:
            found = self.once[key] = once_of(self.load, layout)
        return found

    def _model(self, layout: Layout, recompute: Recompute) -> Stage:
        """One micro-batch through all stages: layouts that differ in `pp` share it."""
        key = (layout.tp, layout.cp, layout.ep, layout.micro_batch, recompute)
        found = self.models.get(key)
        if found is None:
            found = self.models[key] = whole_of(self.load, layout, AS_STATED[recompute])
        return found

    def _stage(self, layout: Layout) -> Stage:
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch, layout.recompute)
        found = self.stages.get(key)
        if found is None:
            found = self.stages[key] = self._model(layout, layout.recompute).cut(layout.pp)
        return found

    def _pace(self, layout: Layout) -> float:
        key = (layout.pp, layout.schedule, layout.vp)
        found = self.paces.get(key)
        if found is None:
            found = self.paces[key] = pace(self.load, layout)
        return found

    def _passed(self, layout: Layout) -> Passed:
        """Layouts that differ in `zero` alone come one after the other: the last schedule is kept."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.ep, layout.gpus, layout.micro_batch),
            *(layout.recompute, layout.schedule, layout.vp),
        )
        if key != self.last:
            self.passed = micro_batches_of(self.load, self._stage(layout), layout, self._pace(layout))
            self.last = key
        return self.passed
