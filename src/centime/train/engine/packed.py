"""The losses of rows that hold several examples: each example counts as one that has a row of its own.

Letters of shapes: B rows, S inputs, M modules of MTP, L layers, E experts, K of them for a token, D the model's width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.model import Features, Routing
from centime.train.engine.loss import MicroBatch, Objective
from centime.train.engine.packing import Packing
from centime.train.stages import EXAMPLES


class PackedObjective(Objective):
    """The objective over examples that share rows; equal to that of one example a row, sum for sum."""

    def features(self, batch: MicroBatch, inputs: int) -> Features:
        self._packing = Packing(batch.beside[EXAMPLES][:, :inputs])
        return self.model.features(batch.rows[:, :inputs], self._packing)

    def further(self, hidden_BSD: Tensor, batch: MicroBatch) -> list[Features]:
        return self.model.mtp_features(hidden_BSD, batch.rows, self._packing)

    def weights_of(self, batch: MicroBatch, weights: Tensor, ahead: int, inputs: int) -> Tensor:
        """No example predicts a token of the next one."""
        examples = batch.beside[EXAMPLES]
        same = examples[:, :inputs] == examples[:, 1 + ahead : 1 + ahead + inputs]
        return super().weights_of(batch, weights, ahead, inputs) * same

    def counted(self, batch: MicroBatch, inputs: int) -> Tensor:
        """An example's last token is a target alone."""
        examples = batch.beside[EXAMPLES]
        return (examples[:, :inputs] > 0) & (examples[:, :inputs] == examples[:, 1 : 1 + inputs])

    def balance(self, routings: Sequence[Routing], counted_BS: Tensor | None) -> Tensor:
        assert counted_BS is not None
        return example_balance_loss(routings, self._packing, counted_BS)


def example_balance_loss(routings: Sequence[Routing], packing: Packing, counted_BS: Tensor) -> Tensor:
    """`sequence_balance_loss` (V3 eq. 17 to 20, without alpha) with each example as a sequence; a float32 scalar."""
    scores = torch.stack([routing.scores for routing in routings]).flatten(1, 2)  # [L, B*S, E]
    E, K = scores.shape[-1], routings[0].expert_ids.shape[-1]
    chosen = torch.zeros_like(scores).scatter_(-1, scores.detach().topk(K, dim=-1, sorted=False).indices, 1.0)
    affinity = scores / scores.sum(-1, keepdim=True)
    counted = counted_BS.flatten()
    of = packing.of_all_BS.flatten()[counted]
    tokens = torch.zeros(packing.count, device=of.device).index_add_(0, of, torch.ones_like(of, dtype=torch.float32))
    length = tokens.clamp(min=1)[None, :, None]
    empty = scores.new_zeros(scores.shape[0], packing.count, E)
    f = empty.index_add(1, of, chosen[:, counted]) * E / (K * length)
    P = empty.index_add(1, of, affinity[:, counted]) / length
    return (f * P).sum()
