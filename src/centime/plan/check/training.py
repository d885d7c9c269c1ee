"""Predicts a row of published training speeds (the schema of training_runs.csv), in the row's own convention.

The figure asked for is the first target that the row has. Sources count FLOPs in different ways; which one a row
means follows from who published it (`convention_of`), never from its figures.
"""

from __future__ import annotations

from centime.catalogue.chips import Chip
from centime.plan.check.file import TRAINING, Row
from centime.plan.check.published_run import PublishedRun, read_run
from centime.plan.check.row_prediction import Figures, RowPrediction, row_prediction
from centime.plan.counts.architecture import count_architecture
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import Constants
from centime.plan.step.intervals import step_interval
from centime.plan.step.times import StepTimes


def flops_per_token(row: Row, run: PublishedRun) -> float:
    """FLOPs that the row's source counts for a token of training.

    - Megatron-LM 2021 and MT-NLG: 96 B s l h^2 (1 + s / 6h + V / 16 l h), full recomputation included (arXiv
      2104.04473, equation 3);
    - MosaicML's MPT tables, arXiv 2205.05198 and DeepSeek's: attention over all keys, causality ignored;
    - estimates by Epoch AI: 6 per parameter;
    - else: causal attention once, MTP included (NVIDIA's rows for V3: 260.0 GFLOP).
    """
    who = f"{row.get('group') or ''} {row.get('source') or ''}".lower()
    counts = count_architecture(run.job.arch, run.job.seq)
    if "2104.04473" in who or "megatron-lm 2021" in who or "mt-nlg" in who or "2201.11990" in who:
        h, layers = run.job.arch.hidden, run.job.arch.layers
        return 96.0 * layers * h * h * (1 + run.job.seq / (6 * h) + run.job.arch.vocab / (16 * layers * h))
    if any(word in who for word in ("mosaicml", "llm-foundry", "2205.05198", "deepseek")):
        return counts.train_flops_per_token_full_attention
    if "epoch" in who:
        return 6.0 * counts.active_params
    return counts.train_flops_per_token_with_mtp


def peak_of(row: Row, chip: Chip, precision: str) -> float:
    """FLOP/s that the row's percentage is of: bf16's, but for MPT's fp8 rows the fp8 peak."""
    if precision.startswith("fp8") and "mosaicml" in (row.get("group") or "").lower():
        return chip.peak("fp8")
    return chip.peak("bf16")


def value_of(row: Row, run: PublishedRun, target: str, seconds: float) -> float:
    """The target's figure for a step of so many seconds."""
    speed = run.job.global_batch * run.job.seq / seconds / run.layout.gpus
    if target == "tokens_per_s_per_gpu":
        return speed
    if target == "step_time_s":
        return seconds
    rate = flops_per_token(row, run) * speed
    return rate / 1e12 if target == "tflops_per_gpu" else 100.0 * rate / peak_of(row, run.job.chip, run.job.precision)


def times_of(run: PublishedRun, constants: Constants | None = None) -> StepTimes:
    """The step of a run. constants: None: the shipped ones."""
    return StepCost(run.job, constants).times(run.layout, run.recomputed)


def interval(run: PublishedRun, times: StepTimes) -> tuple[float, float]:
    """`step_interval` of a published run; wider by half where its layout had to be assumed."""
    fast, slow = step_interval(run.job, run.layout, times)
    if not run.known_layout:
        return fast**1.5, slow**1.5
    return fast, slow


def predict_row(row: Row, constants: Constants | None = None) -> RowPrediction:
    """What the planner says of one row; `constants`: other than the shipped ones. A row's own results are not read."""

    def figures(sealed: Row, target: str) -> Figures:
        run = read_run(sealed)
        times = times_of(run, constants)
        one, *ends = (value_of(sealed, run, target, times.total * by) for by in (1.0, *interval(run, times)))
        return one, min(ends), max(ends)

    return row_prediction(TRAINING, row, figures)
