"""The policy loss on the training engine: the model's log-probabilities of its own answers, and what becomes of them.

Letters of shapes: B answers, S inputs, D the model's width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from centime.model import Transformer
from centime.ops.linear_logprob import linear_logprob
from centime.recipe.policy import PolicyLoss
from centime.train.engine import MicroBatch, Objective
from centime.tune.policy_loss import Policy, PolicySums, policy_loss


class PolicyObjective(Objective):
    """The engine's objective with the policy loss for its main one; balance loss and router's bias stay as they are.

    vocabulary: ids that stand for something, which alone are drawn: rows of the head beyond them have no part in it.
    A micro-batch carries beside its rows `old` [B, S] and `advantage` [B], and `reference` [B, S] where the loss has a
    weight of the divergence. `taken` hands over what was counted since it was last called.
    """

    def __init__(self, model: Transformer, settings: PolicyLoss, temperature: float, vocabulary: int) -> None:
        super().__init__(model)
        self.settings, self.temperature, self.vocabulary = settings, temperature, vocabulary
        self._sums: PolicySums | None = None
        self._entropy = torch.zeros(())

    def _likelihoods(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the tokens with a weight, float32 [B, S], 0 elsewhere; and the sum of entropies."""
        B, S, _ = hidden_BSD.shape
        targets, mask = batch.rows[:, 1 : 1 + S], weights[:, :S] != 0
        found, entropy = linear_logprob(
            hidden_BSD[mask], self.model.head_weight[: self.vocabulary], targets[mask], self.temperature
        )  # prompts and padding are left out: their logits are most of them
        return hidden_BSD.new_zeros(B, S, dtype=torch.float32).masked_scatter(mask, found), entropy.sum()

    def likelihoods(self, batch: MicroBatch) -> Tensor:
        """float32 [B, S]: what `main_loss` makes of this micro-batch with the weights as they are, to the bit.

        By the operations that gradients flow through, for without gradients the same products are computed in another
        order; none is kept.
        """
        assert batch.weights is not None
        with torch.enable_grad():
            hidden = self.features(batch, batch.rows.shape[1] - 1 - len(self.model.mtp)).hidden
            return self._likelihoods(hidden, batch, batch.weights)[0].detach()

    def main_loss(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor) -> Tensor:
        S = hidden_BSD.shape[1]
        logp, entropy = self._likelihoods(hidden_BSD, batch, weights)
        policy = Policy(
            logp,
            batch.beside["old"][:, :S],
            batch.beside["advantage"],
            weights[:, :S],
            batch.beside["reference"][:, :S] if "reference" in batch.beside else None,
        )
        loss, sums = policy_loss(policy, self.settings)
        self._add(sums, entropy)
        return loss

    def _add(self, sums: PolicySums, entropy: Tensor) -> None:
        if self._sums is None:
            self._sums, self._entropy = sums, entropy
            return
        furthest = torch.maximum(self._sums.furthest, sums.furthest)
        added = PolicySums(*(a + b for a, b in zip(self._sums, sums, strict=True)))
        self._sums, self._entropy = added._replace(furthest=furthest), self._entropy + entropy

    def taken(self) -> dict[str, float]:
        """Means a token since the last call: clip_share, kl, mismatch_kl, mismatch_max, entropy (nats)."""
        sums, self._sums = self._sums, None
        if sums is None or not sums.tokens:
            return {}
        tokens = float(sums.tokens)
        return {
            "clip_share": float(sums.clipped) / tokens,
            "kl": float(sums.kl) / tokens,
            "mismatch_kl": float(sums.moved) / tokens,
            "mismatch_max": float(sums.furthest),
            "entropy": float(self._entropy) / tokens,
        }

    @torch.no_grad()
    def log_probabilities(self, model: Transformer, rows: Tensor, mask: Tensor) -> Tensor:
        """float32 [B, S]: what another model of this shape, the reference, says of rows[:, i + 1], 0 outside the mask.

        rows: int64 [B, at least S + 1]; mask: bool [B, S]. The training forward pass, without gradients.
        """
        S = mask.shape[1]
        hidden = model.features(rows[:, :S]).hidden
        head = model.head_weight[: self.vocabulary]
        found, _ = linear_logprob(hidden[mask], head, rows[:, 1 : 1 + S][mask], self.temperature)
        return torch.zeros(mask.shape, dtype=torch.float32, device=rows.device).masked_scatter(mask, found)
