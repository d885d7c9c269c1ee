"""One step of training as the planner states it: time with its interval, parts, memory, rates, assumptions."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace

from centime.catalogue.chips import Chip
from centime.errors import UserError
from centime.messages import said
from centime.plan.counts.adapters import adapter_sizes
from centime.plan.counts.architecture import count_architecture
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import TrainingSoftware
from centime.plan.step.intervals import nearest_measured, step_interval
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout
from centime.plan.step.memory import Recomputed, fits, memory_of, recomputation, usable_bytes
from centime.plan.step.pipeline import Passes
from centime.plan.step.times import StepTimes

NEWEST_SOFTWARE = 2026.6  # of the runs that the constants were fitted to; later software is not foreseen
PRECISIONS = ("bf16", "fp8", "mxfp8", "nvfp4")


@dataclass(frozen=True)
class StepPrediction:
    """One optimizer step. Seconds, GiB per chip, tokens/s per chip, TFLOP/s per chip (model FLOPs: causal attention
    once, MTP and recomputation left out), MFU against the bf16 peak. low and high bound `step_time_s` at 80 %. passes:
    as in `step.times.StepTimes`."""

    layout: Layout
    seq: int
    global_batch: int
    precision: str
    step_time_s: float
    low_s: float
    high_s: float
    breakdown_s: dict[str, float]
    phases_s: dict[str, float]
    passes: Passes
    memory_gib: dict[str, float]
    tokens_per_s_per_gpu: float
    tflops_per_gpu: float
    mfu: float
    assumptions: tuple[str, ...]


def software_at(date: str | None) -> str | None:
    """The software date that goes with a plan's date: its month; of a year alone, January. None: no date."""
    return None if date is None else f"{date.strip()}-01"[:7]


def software_of(date: str | None) -> TrainingSoftware:
    """'2025-06' or '2025-06-30' -> the software of then; None: the newest that the constants know.

    Raises UserError on anything else.
    """
    if date is None:
        return TrainingSoftware(NEWEST_SOFTWARE)
    match = re.fullmatch(r"(20\d\d-\d\d)(-\d\d)?", date.strip())
    try:
        day = datetime.date.fromisoformat(f"{match[1]}{match[2] or '-01'}") if match else None
    except ValueError:  # of its form, and in no calendar
        day = None
    if day is None:
        raise UserError(f"software date {date!r} is not a date; write it as 2025-06 or 2025-06-30.")
    return TrainingSoftware(min(NEWEST_SOFTWARE, day.year + (day.month - 0.5) / 12))


def default_precision(chip: Chip) -> str:
    """What published runs on such chips train in: MXFP8 on Blackwell, FP8 where NVIDIA has it, else bf16."""
    if chip.generation.lower().startswith("blackwell"):
        return "mxfp8"
    return "fp8" if chip.fp8_tflops and chip.vendor == "NVIDIA" else "bf16"


def require_precision(precision: str) -> None:
    """Raises UserError on a precision that nobody trains in."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is not one to train in; known: {', '.join(PRECISIONS)}.")


def check_precision(precision: str, chip: Chip) -> None:
    """Raises UserError on a precision that nobody trains in, or that the chip does not compute in."""
    require_precision(precision)
    peak = {"bf16": chip.bf16_tflops, "nvfp4": chip.fp4_tflops}.get(precision, chip.fp8_tflops)
    if not peak:
        raise UserError(
            said(
                "precision: the catalogue knows no {precision} of {chip}; it trains in {usual}.",
                precision=precision,
                chip=chip.name,
                usual=default_precision(chip),
            )
        )


def trained_flops(job: Job) -> float:
    """FLOPs of a token, forward and backward; frozen weights have no gradients, their adapters and attention do."""
    counts = count_architecture(job.arch, job.seq)
    if job.adapters is None:
        return counts.train_flops_per_token
    mixing = counts.attention_forward_flops_per_token
    frozen = 2.0 * (counts.forward_flops_per_token - mixing)
    return frozen + 3.0 * (mixing + 2.0 * adapter_sizes(job.arch, job.adapters).met)


def predict_step(
    job: Job, layout: Layout, recompute_as_needed: bool = False, times: StepTimes | None = None
) -> StepPrediction:
    """A step of a job in a layout.

    recompute_as_needed: recompute the least with which the layout fits, whatever it says. times: of the layout as it
    is, where a search has priced it. Raises UserError where the layout does not fit the chip's memory, or has another
    precision than those that are known.
    """
    arch, chip, seq, global_batch = job.arch, job.chip, job.seq, job.global_batch
    check_precision(job.precision, chip)
    assumptions = [*arch.assumptions, *chip.assumptions]
    again: Recomputed | None = None
    if recompute_as_needed:
        again = recomputation(job, layout)
        layout = replace(layout, recompute=again.word)
        assumptions.append(
            said(
                "Recomputed in the backward, as memory asks: the cheap part of {light:.0%} of the layers, the whole of "
                "{full:.0%}.",
                light=again.light,
                full=again.full,
            )
        )
    memory = memory_of(job, layout, again)
    if not fits(chip, memory.total):
        raise UserError(
            said(
                "The layout needs {need:.0f} GiB on a chip; {chip} has {room:.0f} GiB to use. Raise pp, tp, ep or "
                "zero, lower micro_batch, or set recompute=full.",
                need=memory.total / 2**30,
                chip=chip.name,
                room=usable_bytes(chip) / 2**30,
            )
        )
    times = times or StepCost(job).times(layout, again)
    fast, slow = step_interval(job, layout, times)
    assumptions.append(nearest_measured(job, layout, times))
    speed = global_batch * seq / times.total / layout.gpus
    rate = speed * trained_flops(job)
    return StepPrediction(
        layout=layout,
        seq=seq,
        global_batch=global_batch,
        precision=job.precision,
        step_time_s=times.total,
        low_s=times.total * fast,
        high_s=times.total * slow,
        breakdown_s=times.parts,
        phases_s=times.phases,
        passes=times.passes,
        memory_gib=memory.gib(),
        tokens_per_s_per_gpu=speed,
        tflops_per_gpu=rate / 1e12,
        mfu=rate / chip.peak("bf16"),
        assumptions=tuple(assumptions),
    )
