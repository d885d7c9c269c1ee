"""The model's layers with adapters beside their matrices. Each takes over the parameters of the plain one before it.

Letters of shapes: T tokens in a row, K experts of each, D the model's width, F a feed-forward's.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from centime.model.adapted.low_rank import LowRank, with_product
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.model.router import Router
from centime.ops.feed_forward import swiglu
from centime.ops.linear import linear
from centime.ops.routed_experts import routed_experts
from centime.ops.routing.adapted_experts import ExpertAdapter, ExpertAdapters, adapted_experts


class AdaptedLinear(Linear):
    """y = x (W + s B A)^T, and the bias where the plain one has one."""

    def __init__(self, plain: Linear, adapters: Mapping[str, LowRank]) -> None:
        nn.Module.__init__(self)
        self.weight, self.bias = plain.weight, getattr(plain, "bias", None)
        self.adapter = adapters[""]

    def forward(self, x: Tensor) -> Tensor:
        y = linear(x, self.weight) + self.adapter(x)
        out: Tensor = y if self.bias is None else y + self.bias
        return out

    def matrix(self) -> Tensor:
        return with_product(self.weight, self.adapter)


class AdaptedRouter(Router):
    """A router whose matrix has an adapter: it chooses by W + s B A."""

    def __init__(self, plain: Router, adapters: Mapping[str, LowRank]) -> None:
        nn.Module.__init__(self)
        self.config, self.selection, self.weight = plain.config, plain.selection, plain.weight
        for name, buffer in plain.named_buffers():
            self.register_buffer(name, buffer)
        self.adapter = adapters[""]

    def matrix(self) -> Tensor:
        return with_product(self.weight, self.adapter)


class AdaptedFeedForward(FeedForward):
    """A feed-forward of which gate, up and down have adapters of their own, or some of them."""

    def __init__(self, plain: FeedForward, adapters: Mapping[str, LowRank]) -> None:
        nn.Module.__init__(self)
        self.gate_up, self.down = plain.gate_up, plain.down
        self.adapters = nn.ModuleDict(adapters)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = linear(x, self.gate_up).chunk(2, dim=-1)
        act = swiglu(self._with("gate", gate, x), self._with("up", up, x))
        return self._with("down", linear(act, self.down), act)

    def _with(self, part: str, y: Tensor, x: Tensor) -> Tensor:
        return y + self.adapters[part](x) if part in self.adapters else y


class AdaptedExperts(Experts):
    """Experts of which each has an adapter of its own, of gate and up together (2 F outputs), of down, or of both."""

    def __init__(self, plain: Experts, adapters: Mapping[str, LowRank]) -> None:
        nn.Module.__init__(self)
        self.gate_up, self.down, self.operation = plain.gate_up, plain.down, plain.operation
        self.adapters = nn.ModuleDict(adapters)

    def forward(self, x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor) -> Tensor:
        if self.operation is routed_experts:
            adapters = ExpertAdapters(self._adapter("gate_up"), self._adapter("down"))
            return adapted_experts(x_TD, expert_ids_TK, gates_TK, (self.gate_up, self.down), adapters)
        stacks = (self._whole("gate_up", self.gate_up), self._whole("down", self.down))
        return self.operation(x_TD, expert_ids_TK, gates_TK, *stacks)

    def _adapter(self, part: str) -> ExpertAdapter | None:
        found = dict(self.adapters.items()).get(part)
        return ExpertAdapter(found.a, found.b, found.scale) if isinstance(found, LowRank) else None

    def _whole(self, part: str, stack: Tensor) -> Tensor:
        """A stack with its adapter in it, for an engine's own operation, which knows of none."""
        found = dict(self.adapters.items()).get(part)
        return with_product(stack, found) if isinstance(found, LowRank) else stack
