"""centime's own step on the benchmark's shape: the engine and the trainer of `centime train`, nothing special."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from shapes import CLIP, LEARNING_RATE


def build(folder: Path, sequence: int, precision: str) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """The step of the model in `folder`, `precision` over fp32 masters; the optimizer's defaults are the benchmark's.

    The correction bias stands still and the balance loss is off, as in the peers, so that losses can be compared.
    """
    import centime
    from centime.ops.precision import compute_dtype
    from centime.recipe import Optimizer
    from centime.train.engine import SingleDevice, Trainer
    from centime.train.stages import Batch, StepSettings

    engine = SingleDevice(centime.load(folder), Optimizer(), compute_dtype(precision, torch.device("cpu")))
    settings = StepSettings(lr=LEARNING_RATE, mtp_weight=0.0, bias_speed=0.0, balance_weight=0.0)

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> float:
        rows, tokens = torch.cat((inputs, targets[:, -1:]), dim=1), targets.numel()
        return trainer.step(Batch(rows, loss_tokens=tokens, sequences=len(rows), tokens=tokens), settings).loss

    trainer = Trainer(engine, micro_batch=4096 // sequence, clip=CLIP)  # `centime train`'s own: 4,096 tokens at once
    return step
