"""Feed-forward layers: dense SwiGLU, and DeepSeekMoE's routed and shared experts (arXiv 2401.06066, section 3).

Letters of shapes: B sequences, S tokens of each, T tokens in a row, D the model's width, F an expert's, E experts, K
experts that a token visits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.model.router import Router, Routing
from centime.ops.feed_forward import feed_forward
from centime.ops.routed_experts import routed_experts


class FeedForward(nn.Module):
    """down(silu(gate x) * (up x)), gate and up stacked in one parameter [2, F, D] so that they are one GEMM."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(2, width, hidden))
        self.down = nn.Parameter(torch.empty(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return feed_forward(x, self.gate_up, self.down)


class Experts(nn.Module):
    """E feed-forwards stacked in two parameters; each token passes through those it is routed to.

    `operation` computes it; an engine that wants the same bits in every batch sets another one of `ops`.
    """

    def __init__(self, experts: int, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(experts, 2, width, hidden))
        self.down = nn.Parameter(torch.empty(experts, hidden, width))
        self.operation = routed_experts

    def forward(self, x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor) -> Tensor:
        return self.operation(x_TD, expert_ids_TK, gates_TK, self.gate_up, self.down)


class MixtureOfExperts(nn.Module):
    """Shared experts see every token, routed experts their share: h = shared(x) + sum_k g_k FFN_k(x) (V3 eq. 12)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.n_routed_experts is not None
        self.router = Router(config)
        self.experts = Experts(config.n_routed_experts, config.hidden_size, config.moe_intermediate_size)
        self.shared = FeedForward(config.hidden_size, config.shared_width) if config.shared_width else None

    def forward(self, x_BSD: Tensor) -> tuple[Tensor, Routing]:
        routing = self.router(x_BSD)
        y = self.experts(x_BSD.flatten(0, 1), routing.expert_ids.flatten(0, 1), routing.gates.flatten(0, 1)).view_as(
            x_BSD
        )
        return (y if self.shared is None else y + self.shared(x_BSD)), routing
