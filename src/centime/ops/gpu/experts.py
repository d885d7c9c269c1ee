"""The routed experts of a mixture on a GPU, forward and backward: five launches and seven, whatever the routing.

Letters of shapes: T tokens, K experts of each, P rows in tiles, E experts, D the model's width, F an expert's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from centime.ops.gpu.fp8 import quantise_rows
from centime.ops.gpu.grouped import TilePlan, grouped_fp8_linear, grouped_linear, grouped_outer, plan_tiles
from centime.ops.gpu.swiglu import gated_swiglu, gated_swiglu_backward
from centime.ops.native import fp8_on_gpu
from centime.ops.quantised import Quantised, fp8_blocks


class _GroupedExperts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
    ) -> Tensor:
        plan = plan_tiles(expert_ids_TK, len(down_EDF))
        token_P, gate_P = _rows(plan, gates_TK)
        h = grouped_linear(x_TD, token_P, gate_up_E2FD.flatten(1, 2), plan)
        act = gated_swiglu(h, gate_P)
        y = grouped_linear(act, _each(plan), down_EDF, plan)
        ctx.plan, ctx.gates_dtype = plan, gates_TK.dtype
        ctx.save_for_backward(x_TD, h, act, token_P, gate_P, gate_up_E2FD, down_EDF)
        return _sum_choices(y, plan, len(x_TD))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x_TD, h, act, token_P, gate_P, gate_up_E2FD, down_EDF = ctx.saved_tensors
        plan, dy_TD = ctx.plan, grad_outputs[0].contiguous()
        gate_up, each = gate_up_E2FD.flatten(1, 2), _each(ctx.plan)
        dact = grouped_linear(dy_TD, token_P, down_EDF.transpose(1, 2), plan)
        dh, dgate_P = gated_swiglu_backward(dact, h, gate_P)
        dx = grouped_linear(dh, each, gate_up.transpose(1, 2), plan)
        # transposed: rows are gathered on the side of inputs alone, and here dy has them
        ddown = grouped_outer(act, dy_TD, token_P, plan).transpose(1, 2)
        dgate_up = grouped_outer(dh, x_TD, token_P, plan).view_as(gate_up_E2FD)
        dgates = dgate_P.index_select(0, plan.row_TK).view(len(x_TD), -1).to(ctx.gates_dtype)
        return _sum_choices(dx, plan, len(x_TD)), None, dgates, dgate_up, ddown


def on_tiles(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor | None:
    """Routed experts by the products here, matrices plain or of FP8; None where these have none for the matrices."""
    if not isinstance(gate_up_E2FD, Quantised):
        return routed_experts(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)
    gate_up, down = fp8_blocks(gate_up_E2FD, 3), fp8_blocks(down_EDF, 3)
    if gate_up is None or down is None or not fp8_on_gpu(x_TD):
        return None
    return routed_fp8_experts(x_TD, expert_ids_TK, gates_TK, gate_up, down)


def routed_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor:
    """`ops.routed_experts.routed_experts` by grouped products: gradients reach x, gates and both weights."""
    out: Tensor = _GroupedExperts.apply(  # type: ignore[no-untyped-call]
        x_TD.contiguous(), expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF
    )
    return out


def routed_fp8_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up: tuple[Tensor, Tensor], down: tuple[Tensor, Tensor]
) -> Tensor:
    """The same without a backward, matrices as (e4m3 numbers, scales of their blocks of 128 x 128), as DeepSeek
    publishes them: gate_up [E, 2 F, D], down [E, D, F]. Inputs of both products are rounded to e4m3 in stretches of
    128."""
    plan = plan_tiles(expert_ids_TK, len(down[0]))
    token_P, gate_P = _rows(plan, gates_TK)
    h = grouped_fp8_linear(*quantise_rows(x_TD.contiguous()), token_P, gate_up, plan, x_TD.dtype)
    act = gated_swiglu(h, gate_P)
    y = grouped_fp8_linear(*quantise_rows(act), _each(plan), down, plan, x_TD.dtype)
    return _sum_choices(y, plan, len(x_TD))


def _rows(plan: TilePlan, gates_TK: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row its token (-1: nobody's) and its gate, float32 (0: nobody's)."""
    real = plan.pair_P >= 0
    token_P = torch.where(real, plan.pair_P.div(gates_TK.shape[1], rounding_mode="floor"), -1)
    return token_P, torch.where(real, gates_TK.flatten().float()[plan.pair_P.clamp(min=0)], 0)


def _each(plan: TilePlan) -> Tensor:
    """Every row itself."""
    return torch.where(plan.pair_P >= 0, torch.arange(len(plan.pair_P), device=plan.pair_P.device), -1)


def _sum_choices(y_PD: Tensor, plan: TilePlan, tokens: int) -> Tensor:
    """Each token's K rows added up -> [T, D]; a gather and a sum, so the order of addition never varies."""
    return y_PD.index_select(0, plan.row_TK).view(tokens, -1, y_PD.shape[1]).sum(1)
