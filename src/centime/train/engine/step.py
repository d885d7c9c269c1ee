"""One optimizer step on any engine: the batch in micro-batches, clip, update, bias update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from centime.train.engine.balance import update_bias
from centime.train.engine.interface import TrainingEngine
from centime.train.engine.loss import LossShare, MicroBatch
from centime.train.stages import Batch, StepSettings


@dataclass(frozen=True)
class StepResult:
    """What one step did. Losses are means over the whole step in nats, all ranks included."""

    loss: float
    mtp_loss: float
    balance_loss: float
    gradient_norm: float
    loads: Tensor  # int64 [routers, E], on the CPU
    skipped: bool  # a loss or gradient was not finite: nothing was updated
    measures: Mapping[str, float] = field(default_factory=dict)  # what the objective reports beside its losses


class Trainer:
    """Runs steps on an engine. `micro_batch` sequences are computed at once; the result does not depend on it."""

    def __init__(self, engine: TrainingEngine, micro_batch: int, clip: float) -> None:
        self.engine, self.micro_batch, self.clip = engine, micro_batch, clip
        self.before_update: Callable[[], None] = lambda: None  # the gradient is whole, and the weights will change
        self._routers = engine.objective.model.routers()
        self._device = next(engine.objective.parameters()).device

    def step(self, batch: Batch, settings: StepSettings) -> StepResult:
        """Forward, backward, clip to `clip` (V3: 1.0), optimizer and bias update; all of it or, if not finite, none."""
        engine = self.engine
        sequences = batch.examples or batch.sequences
        share = LossShare(batch.loss_tokens, sequences, settings.mtp_weight, settings.balance_weight)
        losses, loads = engine.forward_backward(self.micro_batches(batch), share)
        norm = engine.gradient_norm()
        loss, mtp_loss, balance_loss, *reported = losses.tolist()
        skipped = not (math.isfinite(norm) and all(map(math.isfinite, (loss, mtp_loss, balance_loss))))
        self.before_update()
        if not skipped:
            engine.update(settings.lr, min(1.0, self.clip / norm) if norm else 1.0)
            update_bias(self._routers, loads, settings.bias_speed)
        measures = dict(zip(engine.objective.measures, reported, strict=True))
        return StepResult(loss, mtp_loss, balance_loss, norm, loads.cpu(), skipped, measures)

    def micro_batches(self, batch: Batch) -> Iterator[MicroBatch]:
        """Slices of `micro_batch` rows; the same number on every rank, with rows of no weight where one runs out."""
        depths = len(self.engine.objective.model.mtp)
        most = -(-batch.sequences // self.engine.world)  # rows of the rank that has most
        for start in range(0, most, self.micro_batch):
            end = min(start + self.micro_batch, most)
            rows, weights, lengths = batch.rows[start:end], batch.weights, batch.lengths
            missing = end - start - len(rows)
            if missing and weights is None:
                weights = torch.ones(len(batch.rows), batch.rows.shape[1] - 1)
            if missing and lengths is None:
                lengths = torch.full((len(batch.rows),), batch.rows.shape[1] - 1 - depths)
            if weights is not None and lengths is not None:
                rows, weights, lengths = (_padded(t, missing) for t in (rows, weights[start:end], lengths[start:end]))
                longest = max(int(lengths.max()), 1)  # padding that all rows share is not computed
                rows, weights = rows[:, : longest + 1 + depths], weights[:, : longest + depths]
            beside = {name: _padded(tensor[start:end], missing) for name, tensor in batch.beside.items()}
            yield MicroBatch(
                rows.to(self._device, non_blocking=True),
                None if weights is None else weights.to(self._device, non_blocking=True),
                None if lengths is None else lengths.to(self._device, non_blocking=True),
                {name: tensor.to(self._device, non_blocking=True) for name, tensor in beside.items()},
            )


def _padded(tensor: Tensor, rows: int) -> Tensor:
    """The tensor with `rows` rows of zeros after it."""
    return torch.cat((tensor, tensor.new_zeros(rows, *tensor.shape[1:])))
