"""What training minimises: next-token cross entropy, the MTP losses and the balance loss, for one micro-batch.

All three are sums divided by counts of the whole step (every micro-batch, every rank), so that their gradients add up
to the same whatever the micro-batch and the number of devices.

Letters of shapes: B sequences, S tokens, M modules of MTP, D the model's width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from centime.model import Features, Routing, Transformer
from centime.ops.cross_entropy import linear_cross_entropy
from centime.train.engine.balance import expert_loads, sequence_balance_loss

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class MicroBatch(NamedTuple):
    """Some sequences of a step."""

    rows: Tensor  # int64 [B, S + 1 + M]: S inputs and the tokens that follow
    weights: Tensor | None = None  # float32 [B, S + M]: weight of predicting rows[:, i + 1]; None: 1 everywhere
    lengths: Tensor | None = None  # int64 [B]: inputs that are not padding; None: all
    beside: Mapping[str, Tensor] = _NOTHING  # [B, ...] each: what a loss of its own needs


class LossShare(NamedTuple):
    """What a micro-batch's sums are divided by, and the weights of the losses beside the main one."""

    loss_tokens: float  # sum of weights of the whole step
    sequences: float  # sequences of the whole step
    mtp_weight: float  # lambda of V3 eq. 25
    balance_weight: float  # alpha of V3 eq. 17


class Losses(NamedTuple):
    """A micro-batch's part of the step's losses."""

    total: Tensor  # float32 scalar to differentiate
    parts: Tensor  # float32 [3 + measures], detached: main loss, mean MTP loss, balance loss, unweighted; measures
    loads: Tensor  # int64 [routers, E], zero rows where a router did not run


class Objective(nn.Module):
    """The model with its losses as one module, so that what is applied from outside (FSDP) sees one forward.

    Another loss is a class of its own over this one. `measures` names what such a one reports beside the losses, each a
    sum over the micro-batch divided by a count of the whole step.
    """

    measures: tuple[str, ...] = ()

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model
        self.routers = len(model.routers())

    def forward(self, batch: MicroBatch, share: LossShare) -> Losses:
        """The V3 report's cross entropy (eq. 24, 25) and balance loss (eq. 17), each a part of the step's mean."""
        model, rows = self.model, batch.rows
        depths = len(model.mtp)
        S = rows.shape[1] - 1 - depths
        weights = (
            rows.new_ones(rows.shape[0], S + depths, dtype=torch.float32) if batch.weights is None else batch.weights
        )
        weights = weights / share.loss_tokens
        features = self.features(batch, S)
        routings = list(features.routings)
        main = self.main_loss(features.hidden, batch, weights)
        total = main
        mtp = torch.zeros_like(main)
        if depths and share.mtp_weight:
            further = self.further(features.hidden, batch)
            routings += [routing for found in further for routing in found.routings]
            for k, found in enumerate(further, start=1):
                mtp = mtp + self._cross_entropy(found.hidden, batch, weights, k) / depths
            total = total + share.mtp_weight * mtp
        balance, loads = torch.zeros_like(main), rows.new_zeros(self.routers, 1)
        if routings:
            counted = self.counted(batch, S)
            loads = expert_loads(routings, counted)
            loads = nn.functional.pad(loads, (0, 0, 0, self.routers - len(routings)))
            if share.balance_weight:
                balance = self.balance(routings, counted) / share.sequences
                total = total + share.balance_weight * balance
        return Losses(total, torch.stack((main, mtp, balance, *self.reported())).detach(), loads)

    def reported(self) -> Sequence[Tensor]:
        """What `measures` names, of the forward pass that has just been; each a float32 scalar."""
        return ()

    def main_loss(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor) -> Tensor:
        """This micro-batch's part of the loss of the main model, a float32 scalar; another objective has another."""
        return self._cross_entropy(hidden_BSD, batch, weights, 0)

    def features(self, batch: MicroBatch, inputs: int) -> Features:
        """What the head sees at the first `inputs` positions of the rows, and how they were routed."""
        return self.model.features(batch.rows[:, :inputs])

    def further(self, hidden_BSD: Tensor, batch: MicroBatch) -> list[Features]:
        """The same of the MTP modules, from the main model's states."""
        return self.model.mtp_features(hidden_BSD, batch.rows)

    def weights_of(self, batch: MicroBatch, weights: Tensor, ahead: int, inputs: int) -> Tensor:
        """[B, inputs]: weights of predicting the token 1 + ahead positions on."""
        return weights[:, ahead : ahead + inputs]

    def counted(self, batch: MicroBatch, inputs: int) -> Tensor | None:
        """[B, inputs] bool: positions that count as load of the experts, all but padding; None: all."""
        if batch.lengths is None:
            return None
        return torch.arange(inputs, device=batch.rows.device) < batch.lengths[:, None]

    def balance(self, routings: Sequence[Routing], counted_BS: Tensor | None) -> Tensor:
        """The balance loss, summed over layers and sequences."""
        return sequence_balance_loss(routings, counted_BS)

    def _cross_entropy(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor, ahead: int) -> Tensor:
        """Weighted sum of -log p of the token 1 + ahead positions on."""
        S = hidden_BSD.shape[1]
        targets = batch.rows[:, 1 + ahead : 1 + ahead + S]
        weights_BS = self.weights_of(batch, weights, ahead, S)
        return linear_cross_entropy(
            hidden_BSD.flatten(0, 1), self.model.head_weight, targets.flatten(), weights_BS.flatten()
        )
