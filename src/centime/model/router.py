"""Which experts a token visits, and with what weight (DeepSeekMoE; V2 report section 2.2; V3 report section 2.1.2).

Letters of shapes: B sequences, S tokens, D the model's width, E experts, K of them for a token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.ops.routing.router import route
from centime.ops.routing.selection import Selection


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
        self.config, self.selection = config, selection_of(config)
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        if config.topk_method == "noaux_tc":
            self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts, dtype=torch.float32))

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Keeps the bias in float32 when the model is cast: in bf16 its steps of 0.001 would round away."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.config.topk_method == "noaux_tc" and self.e_score_correction_bias.is_floating_point():
            self.e_score_correction_bias = self.e_score_correction_bias.float()
        return self

    def matrix(self) -> Tensor:
        """[E, D] as it is multiplied by."""
        return self.weight

    def forward(self, x_BSD: Tensor) -> Routing:
        logits = F.linear(x_BSD.float(), self.matrix().float())
        bias = self.e_score_correction_bias if self.config.topk_method == "noaux_tc" else None
        return Routing(*route(logits, bias, self.selection))


def selection_of(config: ModelConfig) -> Selection:
    """How a model's routers select experts."""
    groups = config.n_group or 1
    return Selection(
        config.scoring_func,
        config.num_experts_per_tok,
        groups,
        groups if config.topk_method == "greedy" else config.topk_group or 1,
        2 if config.topk_method == "noaux_tc" else 1,
        config.norm_topk_prob,
        config.routed_scaling_factor,
    )
