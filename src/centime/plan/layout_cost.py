"""The planner's own predictor as the layout search asks it: seconds, memory and a lower bound of a layout."""

from __future__ import annotations

from math import log2

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.plan.efficiency import Constants, Software, fitted, rates
from centime.plan.layout import Layout, Recompute
from centime.plan.memory import AS_STATED, Memory, memory_of, usable_bytes
from centime.plan.micro_batch import Stage, stage_of
from centime.plan.prediction import software_of
from centime.plan.step import Passed, StepTimes, finished, micro_batches_of
from centime.plan.work import work_of


class StepCost:
    """Prices layouts as `plan.prediction.predict_step` does; what several layouts share is computed once.

    software: None: the newest that the constants know.
    """

    def __init__(
        self,
        arch: Architecture,
        chip: Chip,
        seq: int,
        global_batch: int,
        precision: str,
        software: Software | None = None,
        constants: Constants | None = None,
    ) -> None:
        self.arch, self.chip, self.seq, self.global_batch = arch, chip, seq, global_batch
        self.precision, self.software = precision, software or software_of(None)
        self.constants = constants or fitted()
        self.limit = usable_bytes(chip)
        self.work = work_of(arch, seq)
        self.rates = rates(chip, precision, self.software, self.constants)
        self.stages: dict[tuple[int | str, ...], Stage] = {}
        self.least: dict[tuple[int, ...], float] = {}
        self.states: dict[tuple[int, ...], float] = {}
        self.passing: dict[tuple[int | str, ...], float] = {}
        self.last: tuple[int | str, ...] = ()
        self.passed: Passed

    def seconds(self, layout: Layout) -> float:
        """Of one optimizer step."""
        return self._times(layout).total

    def breakdown(self, layout: Layout) -> dict[str, float]:
        """Seconds of a step by part."""
        return self._times(layout).parts

    def fits(self, layout: Layout) -> bool:
        """Whether the chip's memory holds it."""
        return self.states_bytes(layout) + self.passing_bytes(layout) <= self.limit

    def states_bytes(self, layout: Layout) -> float:
        """Of weights, gradients and optimizer: the same whatever micro-batch, recomputation or schedule (but for
        DualPipe's second copy of the model)."""
        key = (layout.tp, layout.pp, layout.cp, layout.dp, layout.ep, layout.zero, layout.schedule == "dualpipe")
        found = self.states.get(key)
        if found is None:
            memory = self.memory(layout)
            found = self.states[key] = memory.weights + memory.gradients + memory.optimizer
        return found

    def passing_bytes(self, layout: Layout) -> float:
        """Of activations and buffers: the same however states are sharded and wherever experts are."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.vp, layout.micro_batch),
            *(layout.schedule, layout.recompute, layout.micro_batches(self.global_batch)),
        )
        found = self.passing.get(key)
        if found is None:
            memory = self.memory(layout)
            found = self.passing[key] = memory.activations + memory.buffers
        return found

    def least_seconds(self, layout: Layout) -> float:
        """Of all micro-batches on the mean stage, with nothing recomputed, experts' traffic hidden as far as DualPipe
        hides it, and no bubble; and of what a step's end and the machine's size add to any layout."""
        c = self.constants
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch)
        each = self.least.get(key)
        if each is None:
            parts = self._stage(layout, "none").parts
            hidden = (1.0 - c.overlapped_exposed) * parts["expert_parallel"]
            each = self.least[key] = sum(parts.values()) - hidden
        doublings = log2(max(1.0, layout.gpus / 8))
        synchronised = (c.step_ms + c.doubling_ms * doublings) * 1e-3
        whole = layout.micro_batches(self.global_batch) * each + synchronised
        return whole * (1.0 + c.scale * doublings) * (1.0 - 1e-12)  # sums in another order round otherwise

    def _stage(self, layout: Layout, recompute: Recompute) -> Stage:
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch, recompute)
        stage = self.stages.get(key)
        if stage is None:
            quantized, again = self.precision != "bf16", AS_STATED[recompute]
            stage = stage_of(self.work, layout, self.seq, self.rates, self.constants, quantized, again)
            self.stages[key] = stage
        return stage

    def _times(self, layout: Layout) -> StepTimes:
        """Layouts that differ in `zero` alone come one after the other: the last schedule is kept."""
        key = (
            *(layout.tp, layout.pp, layout.cp, layout.ep, layout.gpus, layout.micro_batch),
            *(layout.recompute, layout.schedule, layout.vp),
        )
        if key != self.last:
            stage = self._stage(layout, layout.recompute)
            self.passed = micro_batches_of(
                self.work, stage, layout, self.seq, self.global_batch, self.rates, self.constants
            )
            self.last = key
        return finished(self.work, self.passed, layout, self.global_batch, self.rates, self.software, self.constants)

    def memory(self, layout: Layout) -> Memory:
        """Bytes of the fullest chip."""
        return memory_of(
            self.arch, self.chip, layout, self.seq, self.global_batch, self.precision, software=self.software
        )
