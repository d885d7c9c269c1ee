"""Direct preference optimisation (arXiv 2305.18290): the loss of pairs of answers, each pair two examples of one row.

Letters of shapes: B pairs, S inputs of a row, D the model's width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.model import Transformer
from centime.ops.linear_logprob import linear_logprob
from centime.recipe import Dpo
from centime.train.engine.loss import MicroBatch
from centime.train.engine.packed import PackedObjective
from centime.train.stages import EXAMPLES

REFERENCE = "reference"
"""Beside the rows: float32 [B, 2], log-probabilities of the chosen and the rejected answer under the reference."""


def preference_loss(log_ratios_B2: Tensor, section: Dpo) -> Tensor:
    """Float32 [B] of log pi(y) / pi_ref(y) of the chosen and the rejected answer.

    With m = beta (log ratio of the chosen - of the rejected), eq. 7 of the paper is -log sigmoid(m). Label smoothing e
    makes it -(1 - e) log sigmoid(m) - e log sigmoid(-m) (cDPO, E. Mitchell, 2023); `robust` is the unbiased estimate
    under such noise, (-(1 - e) log sigmoid(m) + e log sigmoid(-m)) / (1 - 2e) (rDPO, arXiv 2403.00409, eq. 10).
    """
    margin = section.beta * (log_ratios_B2[:, 0] - log_ratios_B2[:, 1])
    right, wrong = 1 - section.label_smoothing, section.label_smoothing
    if section.loss == "robust":
        right, wrong = right / (1 - 2 * wrong), -wrong / (1 - 2 * wrong)
    return -right * F.logsigmoid(margin) - wrong * F.logsigmoid(-margin)


class PreferenceObjective(PackedObjective):
    """The preference loss for the main one; the balance loss counts each answer as a sequence, as ever."""

    measures = ("reward_margin", "reward_accuracy", "reward_chosen", "reward_rejected")

    def __init__(self, model: Transformer, section: Dpo) -> None:
        super().__init__(model)
        self.section = section
        self.log_probabilities = torch.zeros(0, 2)  # [B, 2] of the last forward pass, detached
        self._reported: Sequence[Tensor] = ()

    def main_loss(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor) -> Tensor:
        """Weights are one over the step's pairs on every answer token, so that the sum over pairs is their mean."""
        S = hidden_BSD.shape[1]
        share_B = weights.amax(-1)
        found_B2 = self._answers(hidden_BSD, batch, weights[:, :S] > 0)
        self.log_probabilities = found_B2.detach()
        log_ratios = found_B2 - batch.beside[REFERENCE]
        rewards = self.section.beta * log_ratios.detach()
        margin = rewards[:, 0] - rewards[:, 1]
        shown = (margin, (margin > 0).float(), rewards[:, 0], rewards[:, 1])
        self._reported = [(value * share_B).sum() for value in shown]
        return (preference_loss(log_ratios, self.section) * share_B).sum()

    def reported(self) -> Sequence[Tensor]:
        return self._reported

    def _answers(self, hidden_BSD: Tensor, batch: MicroBatch, answer_BS: Tensor) -> Tensor:
        """[B, 2]: log-probabilities of the two answers, summed over their tokens."""
        B, S, _ = hidden_BSD.shape
        targets = batch.rows[:, 1 : 1 + S]
        found, _ = linear_logprob(hidden_BSD[answer_BS], self.model.head_weight, targets[answer_BS])
        which = batch.beside[EXAMPLES][:, 1 : 1 + S][answer_BS] - 1
        row = torch.arange(B, device=which.device)[:, None].expand(B, S)[answer_BS]
        return found.new_zeros(2 * B).index_add(0, 2 * row + which, found).view(B, 2)
