"""Whole training steps of small presets, and the factors that make the parts add up to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from centime.calibrate.timing import seconds_of
from centime.catalogue.machine import MachineProfile, StepSample
from centime.catalogue.presets import from_depth
from centime.model import Transformer
from centime.plan.step.calibrated import PARTS, Step, step_parts
from centime.recipe import Optimizer
from centime.train.engine import SingleDevice, Trainer
from centime.train.stages import Batch, StepSettings

Case = tuple[int, int, int, Literal["adamw", "muon"]]
Float = npt.NDArray[np.float64]

# (depth, sequences, tokens a sequence, optimizer): every part is large in one of them and small in another.
CASES: list[Case] = [
    (2, 8, 64, "adamw"), (2, 16, 128, "adamw"), (2, 4, 512, "muon"), (2, 4, 1024, "adamw"), (3, 8, 64, "muon"),
    (3, 8, 256, "adamw"), (3, 2, 1024, "muon"), (4, 8, 128, "adamw"), (4, 4, 512, "adamw"), (4, 2, 128, "muon"),
]  # fmt: skip
LARGE_CASES: list[Case] = [
    (8, 8, 512, "adamw"),
    (12, 8, 1024, "adamw"),
    (12, 4, 2048, "muon"),
]  # where a GPU has enough to do
STEPS = 5
PRIOR = 0.02  # weight of each log factor's distance from the common level: parts that no case tells apart share it


def step_samples(device: torch.device, dtype: torch.dtype, cases: Sequence[Case]) -> Iterator[StepSample]:
    """Median seconds of a step of each case."""
    for depth, rows, sequence, optimizer in cases:
        config = from_depth(depth)
        with device:
            model = Transformer(config)
        model.init_weights(seed=0)
        engine = SingleDevice(model, Optimizer(name=optimizer), dtype)
        trainer = Trainer(engine, micro_batch=rows, clip=1.0)
        settings = StepSettings(lr=1e-4, mtp_weight=0.0, bias_speed=1e-3, balance_weight=1e-4)
        draw = torch.Generator().manual_seed(0)
        tokens = torch.randint(0, config.vocab_size, (rows, sequence + 1), generator=draw)
        batch = Batch(tokens, loss_tokens=rows * sequence, sequences=rows, tokens=rows * sequence)
        seconds = seconds_of(lambda t=trainer, b=batch, s=settings: t.step(b, s), device, 0.0, STEPS)  # type: ignore[misc]
        yield StepSample(depth, rows * sequence, sequence, optimizer, seconds)


def with_factors(profile: MachineProfile) -> MachineProfile:
    """The profile with factors fitted to its steps, and the largest error of a step that the fit has not seen."""
    raw = np.array([[_raw(profile, sample)[part] for part in PARTS] for sample in profile.steps])
    seconds = np.array([sample.seconds for sample in profile.steps])
    errors = []
    for left_out in range(len(seconds)):
        kept = np.arange(len(seconds)) != left_out
        factors = fit(raw[kept], seconds[kept])
        errors.append(abs(float(raw[left_out] @ factors) / seconds[left_out] - 1))
    factors = fit(raw, seconds)
    return replace(profile, factors=dict(zip(PARTS, map(float, factors), strict=True)), fit_error=max(errors))


def _raw(profile: MachineProfile, sample: StepSample) -> dict[str, float]:
    rows = sample.tokens / sample.sequence
    return step_parts(profile, from_depth(sample.depth), Step(sample.sequence, rows, optimizer=sample.optimizer))


def fit(raw: Float, seconds: Float) -> Float:
    """Factors > 0 of least squared log error, drawn to their common level; Gauss-Newton on their logarithms."""
    level = float(np.median(np.log(seconds / raw.sum(1))))
    logs = np.full(raw.shape[1], level)
    for _ in range(50):
        parts = raw * np.exp(logs)  # a part that no step has keeps the common level
        total = parts.sum(1)
        slope = parts / total[:, None]
        error = np.log(total / seconds)
        left = slope.T @ slope + PRIOR * np.eye(len(logs))
        move = np.linalg.solve(left, -(slope.T @ error + PRIOR * (logs - level)))
        logs = logs + np.clip(move, -0.5, 0.5)
    return np.asarray(np.exp(logs))
