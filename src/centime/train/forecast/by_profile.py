"""What a run will take by the machine's profile alone, before any step is timed; see `centime calibrate`."""

from __future__ import annotations

from collections import Counter

from centime.catalogue.machine import MachineProfile
from centime.ledger.device import Device
from centime.plan.step.calibrated import Step, predict, step_parts
from centime.recipe import Optimizer
from centime.train.forecast.estimate import EVALUATED
from centime.train.stages import PairRows, StagePlan, TextRows

UPDATE = {"update", "muon"}  # parts that an evaluation has not


def fits(profile: MachineProfile, device: Device, threads: int, dtype: str) -> bool:
    """Whether the profile is of this device, with as many threads and the type that the run computes in."""
    on_cpu = device.kind == "cpu"
    return profile.device == device.name and profile.dtype == dtype and (profile.threads == threads or not on_cpu)


def stage_seconds(
    profile: MachineProfile, plan: StagePlan, micro_batch: int, optimizer: Optimizer, evaluated_rows: float
) -> float:
    """Seconds of a stage on one device: each of its steps with its own number of micro-batches, and evaluations."""
    total = 0.0
    for rows, times in Counter(plan.schedule.rows.tolist()).items():
        total += times * step_seconds(profile, plan, min(micro_batch, rows), rows, optimizer)
    if evaluated_rows:
        whole = step_seconds(profile, plan, micro_batch, micro_batch, optimizer, update=False)
        total += EVALUATED * evaluated_rows / micro_batch * whole
    return total


def step_seconds(
    profile: MachineProfile, plan: StagePlan, micro_batch: int, rows: int, optimizer: Optimizer, update: bool = True
) -> float:
    """Seconds of one step of `rows` sequences."""
    step = Step(
        computed_length(plan, micro_batch),
        micro_batch,
        rows / micro_batch,
        optimizer.name,
        optimizer.muon_steps,
        mtp=plan.stage.mtp_weight > 0,
    )
    raw = step_parts(profile, plan.config, step)
    return sum(seconds for part, seconds in predict(profile, raw).items() if update or part not in UPDATE)


def computed_length(plan: StagePlan, micro_batch: int) -> int:
    """Positions computed in a row: text fills its rows; pairs are padded to the longest of a micro-batch."""
    if isinstance(plan.rows, TextRows):
        return plan.stage.sequence_length
    if not isinstance(plan.rows, PairRows):
        return round(plan.rows.tokens_per_row)
    lengths = plan.rows.batch(0, micro_batch, rank=0, world=1).lengths
    assert lengths is not None
    return int(lengths.max())
