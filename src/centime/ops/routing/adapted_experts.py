"""Routed experts of which each has a low-rank adapter beside its frozen, perhaps quantised matrices.

Letters of shapes: T tokens, K experts of each, P = T K pairs of them and padding, E experts, D the model's width, F an
expert's, O outputs and I inputs of a product, R the adapters' rank.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from centime.ops.feed_forward import swiglu
from centime.ops.quantised import Quantised
from centime.ops.routed_experts import Dispatch, dispatch, sum_choices

Segments = list[tuple[int, int, int]]  # (expert, first row, one past the last)


class ExpertAdapter(NamedTuple):
    """scale B_e A_e of every expert e: A [E, R, I] and B [E, O, R]."""

    a: Tensor
    b: Tensor
    scale: float


class ExpertAdapters(NamedTuple):
    """Those of gate over up (O = 2 F) and of down (O = D); None: none."""

    gate_up: ExpertAdapter | None
    down: ExpertAdapter | None


def adapted_experts(
    x_TD: Tensor,
    expert_ids_TK: Tensor,
    gates_TK: Tensor,
    stacks: tuple[Tensor, Tensor],
    adapters: ExpertAdapters,
) -> Tensor:
    """`routed_experts` with W_e + s B_e A_e for W_e -> [T, D]; gradients reach x, gates, A and B.

    x [T, D], expert_ids int64 [T, K], gates [T, K]; stacks: gate_up [E, 2, F, D], down [E, D, F], plain or quantised.
    """
    gate_up_E2FD, down_EDF = stacks
    plan = dispatch(expert_ids_TK, len(down_EDF))
    x_PD = x_TD.index_select(0, plan.token_P)
    gates = gates_TK.flatten().to(x_TD.dtype)
    gate_P = gates.new_zeros(len(x_PD)).index_copy(0, plan.slot_TK, gates)
    act_PF = swiglu(*_product(x_PD, gate_up_E2FD, adapters.gate_up, plan).chunk(2, dim=-1)) * gate_P[:, None]
    return sum_choices(_product(act_PF, down_EDF, adapters.down, plan), plan, x_TD)


def _product(x_PI: Tensor, stack: Tensor, adapter: ExpertAdapter | None, plan: Dispatch) -> Tensor:
    """Each segment's rows times its expert's matrix, adapter included -> [P, O]."""
    y_PO: Tensor = _Grouped.apply(x_PI, stack, plan.segments)  # type: ignore[no-untyped-call]
    if adapter is None:
        return y_PO
    thin_PR = _Grouped.apply(x_PI, adapter.a, plan.segments)  # type: ignore[no-untyped-call]
    added_PO: Tensor = _Grouped.apply(thin_PR, adapter.b, plan.segments)  # type: ignore[no-untyped-call]
    return y_PO + added_PO * adapter.scale


class _Grouped(torch.autograd.Function):
    """Rows of each segment times the matrix of its expert. A frozen stack gets no gradient, and a quantised one is made
    plain an expert at a time, in the forward pass and again in the backward one."""

    @staticmethod
    def forward(ctx: Any, x_PI: Tensor, stack: Tensor, segments: Segments) -> Tensor:
        ctx.segments, ctx.stack = segments, stack
        ctx.save_for_backward(x_PI if stack.requires_grad else x_PI.new_empty(0))
        y_PO = x_PI.new_empty(len(x_PI), stack[0].shape[:-1].numel())
        for e, start, end in segments:
            torch.mm(x_PI[start:end], _matrix(stack, e, x_PI.dtype).t(), out=y_PO[start:end])
        return y_PO

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x_PI,), stack = ctx.saved_tensors, ctx.stack
        dy_PO = grad_outputs[0].contiguous()
        dx, dstack = None, None
        if ctx.needs_input_grad[0]:
            dx = dy_PO.new_empty(len(dy_PO), stack.inputs if isinstance(stack, Quantised) else stack.shape[-1])
            for e, start, end in ctx.segments:
                torch.mm(dy_PO[start:end], _matrix(stack, e, dy_PO.dtype), out=dx[start:end])
        if ctx.needs_input_grad[1]:
            dstack = torch.zeros_like(stack)
            for e, start, end in ctx.segments:
                torch.mm(dy_PO[start:end].t(), x_PI[start:end], out=dstack[e])
        return dx, dstack, None


def _matrix(stack: Tensor, expert: int, dtype: torch.dtype) -> Tensor:
    """One expert's matrix [O, I], plain."""
    found = stack[expert]
    return (found.dense(dtype) if isinstance(found, Quantised) else found).flatten(0, -2)
