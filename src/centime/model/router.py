"""Which experts a token visits, and with what weight (DeepSeekMoE; V2 report section 2.2; V3 report section 2.1.2).

Letters of shapes: B sequences, S tokens, D the model's width, E experts, K of them for a token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig


class Routing(NamedTuple):
    """One layer's choices for a batch, returned beside its output so that nothing is counted twice under recompute."""

    expert_ids: Tensor  # int64 [B, S, K], the experts chosen
    gates: Tensor  # float32 [B, S, K], their weights
    scores: Tensor  # float32 [B, S, E], affinities before bias and selection; carries the gradient of balance losses


class Router(nn.Module):
    """Scores all experts and keeps the top K, within the best groups where the model has groups.

    `e_score_correction_bias` (noaux_tc) steers the choice and never the weights (V3 eq. 16). It is a buffer, not a
    parameter: training moves it by the sign of each expert's load error, outside of autograd.
    """

    e_score_correction_bias: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.n_routed_experts is not None
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        if config.topk_method == "noaux_tc":
            self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts, dtype=torch.float32))

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Keeps the bias in float32 when the model is cast: in bf16 its steps of 0.001 would round away."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.config.topk_method == "noaux_tc" and self.e_score_correction_bias.is_floating_point():
            self.e_score_correction_bias = self.e_score_correction_bias.float()
        return self

    def forward(self, x_BSD: Tensor) -> Routing:
        config = self.config
        logits = F.linear(x_BSD.float(), self.weight.float())
        scores = logits.softmax(-1) if config.scoring_func == "softmax" else logits.sigmoid()
        expert_ids = self._choose(scores.detach())
        gates = scores.gather(-1, expert_ids)
        if config.norm_topk_prob and config.num_experts_per_tok > 1:
            gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
        return Routing(expert_ids, gates * config.routed_scaling_factor, scores)

    def _choose(self, scores_BSE: Tensor) -> Tensor:
        """int64 [B, S, K]: the best K of the biased scores among the kept groups."""
        config = self.config
        choice = scores_BSE + self.e_score_correction_bias if config.topk_method == "noaux_tc" else scores_BSE
        groups, kept = config.n_group or 1, config.topk_group or 1
        if config.topk_method != "greedy" and kept < groups:
            grouped = choice.unflatten(-1, (groups, -1))
            if config.topk_method == "noaux_tc":  # V3: a group is worth its two best experts
                group_scores = grouped.topk(2, dim=-1).values.sum(-1)
            else:  # V2: its best one
                group_scores = grouped.amax(-1)
            best = group_scores.topk(kept, dim=-1, sorted=False).indices
            open_groups = torch.zeros_like(group_scores, dtype=torch.bool).scatter(-1, best, True)
            choice = grouped.masked_fill(~open_groups[..., None], float("-inf")).flatten(-2)
        return choice.topk(config.num_experts_per_tok, dim=-1, sorted=False).indices
