"""The routed experts of a mixture: each token goes through its K chosen feed-forwards, weighted by its gates.

Letters of shapes: T tokens, K experts of each, P = T K pairs of them, E experts, D the model's width, F an expert's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.feed_forward import swiglu
from centime.ops.floats.routed_experts import in_one_call
from centime.ops.linear import ROWS, linear
from centime.ops.native import on_gpu
from centime.ops.panels import Panels, panel_experts
from centime.ops.quantised import Quantised

# Segments are padded to a multiple of this many rows: GEMM libraries compile a kernel per shape, and routing would
# otherwise show them a new shape for every expert in every step.
SEGMENT = 32
FEW = 64  # tokens up to which padding to whole segments costs more than it saves
SMALL = 2**16  # numbers of an expert's matrix up to which a call of its own costs more than its arithmetic
EVEN = 3  # rows with padding over rows without, up to which small experts are multiplied all at once
Stack = Tensor | Sequence[Tensor]  # a matrix an expert: gate over up [2, F, D] and down [D, F], or both packed


def routed_experts_reference(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor:
    """sum_k gates[t, k] * FFN_{expert_ids[t, k]}(x[t]) -> [T, D], one expert after another (DeepSeekMoE eq. 3)."""
    out = torch.zeros_like(x_TD)
    for e in range(gate_up_E2FD.shape[0]):
        token, choice = (expert_ids_TK == e).nonzero(as_tuple=True)
        gate, up = (F.linear(x_TD[token], w) for w in gate_up_E2FD[e])
        y = F.linear(swiglu(gate, up) * gates_TK[token, choice, None].to(x_TD.dtype), down_EDF[e])
        out = out.index_add(0, token, y)
    return out


class Dispatch(NamedTuple):
    """Where each (token, choice) pair stands in the buffer of padded, expert-sorted rows."""

    token_P: Tensor  # int64 [P], the token in each row; padding rows repeat some token and have gate 0
    slot_TK: Tensor  # int64 [T * K], the row of each pair
    segments: list[tuple[int, int, int]]  # (expert, first row, one past the last), experts without tokens left out


def dispatch(expert_ids_TK: Tensor, experts: int, multiple: int = SEGMENT) -> Dispatch:
    """Sorts the T * K pairs by expert and rounds each expert's segment up to a multiple of `multiple` rows."""
    T, K = expert_ids_TK.shape
    flat = expert_ids_TK.flatten()
    order = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=experts)
    padded = (counts + multiple - 1) // multiple * multiple
    shift = (padded.cumsum(0) - padded) - (counts.cumsum(0) - counts)  # rows of padding before each expert
    rows = torch.arange(T * K, device=flat.device) + shift[flat[order]]
    ends = padded.cumsum(0).tolist()
    token = torch.zeros(ends[-1], dtype=torch.int64, device=flat.device).index_copy_(0, rows, order // K)
    slot = torch.empty_like(order).index_copy_(0, order, rows)
    segments = [(e, start, end) for e, (start, end) in enumerate(zip([0, *ends], ends, strict=False)) if end > start]
    return Dispatch(token, slot, segments)


class _RoutedExperts(torch.autograd.Function):
    """Forward and backward as plain GEMMs on slices; autograd's own would zero and add [E, ...] once per expert."""

    @staticmethod
    def forward(
        ctx: Any, x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
    ) -> Tensor:
        E, D, F_ = down_EDF.shape
        plan = dispatch(expert_ids_TK, E)
        x = x_TD.index_select(0, plan.token_P)
        gate_P = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        gate_P.index_copy_(0, plan.slot_TK, gates_TK.flatten().to(x.dtype))
        h = x.new_empty(len(x), 2 * F_)
        for e, start, end in plan.segments:
            torch.mm(x[start:end], gate_up_E2FD[e].view(2 * F_, D).t(), out=h[start:end])
        act = swiglu(*h.chunk(2, dim=-1)).mul_(gate_P[:, None])
        y = x.new_empty(len(x), D)
        for e, start, end in plan.segments:
            torch.mm(act[start:end], down_EDF[e].t(), out=y[start:end])
        ctx.plan, ctx.gates_dtype = plan, gates_TK.dtype
        ctx.save_for_backward(x, h, gate_P, gate_up_E2FD, down_EDF)
        return sum_choices(y, plan, x_TD)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, h, gate_P, gate_up_E2FD, down_EDF = ctx.saved_tensors
        plan: Dispatch = ctx.plan
        D, F_ = down_EDF.shape[1:]
        dy = grad_outputs[0].index_select(0, plan.token_P)
        gate, up = h.chunk(2, dim=-1)
        silu = F.silu(gate)
        act = silu * up
        gated_act = act * gate_P[:, None]
        dact = x.new_empty(len(x), F_)
        ddown = torch.zeros_like(down_EDF) if ctx.needs_input_grad[4] else None  # None: frozen
        for e, start, end in plan.segments:
            torch.mm(dy[start:end], down_EDF[e], out=dact[start:end])
            if ddown is not None:
                torch.mm(dy[start:end].t(), gated_act[start:end], out=ddown[e])
        dgate_P = torch.linalg.vecdot(dact, act)
        dact.mul_(gate_P[:, None])
        dh = torch.empty_like(h)
        torch.mul(dact, silu, out=dh[:, F_:])
        dh[:, :F_] = torch.ops.aten.silu_backward(dact.mul_(up), gate)
        dx = x.new_empty(len(x), D)
        dgate_up = torch.zeros_like(gate_up_E2FD) if ctx.needs_input_grad[3] else None
        for e, start, end in plan.segments:
            torch.mm(dh[start:end], gate_up_E2FD[e].view(2 * F_, D), out=dx[start:end])
            if dgate_up is not None:
                torch.mm(dh[start:end].t(), x[start:end], out=dgate_up[e].view(2 * F_, D))
        dgates = dgate_P.index_select(0, plan.slot_TK).view(grad_outputs[0].shape[0], -1).to(ctx.gates_dtype)
        return sum_choices(dx, plan, grad_outputs[0]), None, dgates, dgate_up, ddown


def sum_choices(y_PD: Tensor, plan: Dispatch, like_TD: Tensor) -> Tensor:
    """Each token's K rows added up -> [T, D]; a gather and a sum, so the order of addition never varies."""
    T, D = like_TD.shape
    return y_PD.index_select(0, plan.slot_TK).view(T, -1, D).sum(1)


def visited_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Stack, down_EDF: Stack
) -> Tensor:
    """The same without a backward; matrices may be packed. Segments are no longer than what gains something.

    Above FEW tokens in a 16-bit type that is SEGMENT rows, for the shapes' sake; with packed matrices, the fewest rows
    that they multiply at full speed; else none are added.
    """
    if isinstance(gate_up_E2FD, Panels) and isinstance(down_EDF, Panels):
        return panel_experts(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)
    T, K = expert_ids_TK.shape
    plain = all(isinstance(stack, Tensor) and not isinstance(stack, Quantised) for stack in (gate_up_E2FD, down_EDF))
    if plain and x_TD.dtype == torch.float32 and isinstance(down_EDF, Tensor) and isinstance(gate_up_E2FD, Tensor):
        most = int(torch.bincount(expert_ids_TK.flatten(), minlength=len(down_EDF)).max())
        if down_EDF[0].numel() <= SMALL and most * len(down_EDF) <= EVEN * T * K:
            return _all_experts(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF, most)
    fewest = ROWS if gate_up_E2FD[0].is_mkldnn else 1
    plan = dispatch(expert_ids_TK, len(down_EDF), fewest if T <= FEW or x_TD.dtype == torch.float32 else SEGMENT)
    x = x_TD.index_select(0, plan.token_P)
    h = torch.cat([linear(x[start:end], gate_up_E2FD[e]) for e, start, end in plan.segments])
    act = swiglu(*h.chunk(2, dim=-1))
    y = torch.cat([linear(act[start:end], down_EDF[e]) for e, start, end in plan.segments])
    y_TKD = y.index_select(0, plan.slot_TK).view(T, K, -1)
    return (y_TKD * gates_TK[..., None].to(y.dtype)).sum(1)


def _all_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor, rows: int
) -> Tensor:
    """The same with all experts' products in one call, `rows` rows of each: many small ones cost more than padding."""
    T, K = expert_ids_TK.shape
    E, D, F_ = down_EDF.shape
    flat = expert_ids_TK.flatten()
    order = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=E)
    sorted_experts = flat[order]
    place = torch.arange(T * K, device=flat.device) - (counts.cumsum(0) - counts)[sorted_experts]
    slot_P = torch.empty_like(order).index_copy_(0, order, sorted_experts * rows + place)
    x = x_TD.new_zeros(E * rows, D).index_copy_(0, slot_P, x_TD.repeat_interleave(K, 0)).view(E, rows, D)
    gate, up = torch.bmm(x, gate_up_E2FD.view(E, 2 * F_, D).transpose(1, 2)).chunk(2, dim=-1)
    y = torch.bmm(swiglu(gate, up), down_EDF.transpose(1, 2)).view(E * rows, D)
    y_TKD = y.index_select(0, slot_P).view(T, K, D)
    return (y_TKD * gates_TK[..., None]).sum(1)


def routed_experts_by_tile(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Stack, down_EDF: Stack
) -> Tensor:
    """The same with every visited expert given all T tokens: with T constant, all its products have one shape.

    A token's result is then the same bits whichever tokens share its batch; it costs up to E / K times the arithmetic.
    With matrices in panels it is so anyhow.
    """
    if isinstance(gate_up_E2FD, Panels):
        return visited_experts(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)
    y_TKD = x_TD.new_zeros(*expert_ids_TK.shape, x_TD.shape[1])
    for e in expert_ids_TK.unique().tolist():
        gate, up = linear(x_TD, gate_up_E2FD[e]).chunk(2, dim=-1)
        out_TD = linear(swiglu(gate, up), down_EDF[e])
        token, choice = (expert_ids_TK == e).nonzero(as_tuple=True)
        y_TKD[token, choice] = out_TD[token]
    return (y_TKD * gates_TK[..., None].to(x_TD.dtype)).sum(1)


def routed_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor:
    """The same with tokens sorted by expert once and every expert three plain GEMMs on a contiguous slice.

    x [T, D], expert_ids int64 [T, K], gates [T, K], gate_up [E, 2, F, D], down [E, D, F] -> [T, D].
    No token is dropped. Gradients reach x, gates and both weights, where these are not quantised.
    """
    if on_gpu(x_TD):
        from centime.ops.gpu.experts import on_tiles

        if (computed := on_tiles(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)) is not None:
            return computed
    if not torch.is_grad_enabled() or isinstance(gate_up_E2FD, Quantised):
        return visited_experts(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)
    if (found := in_one_call(x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF)) is not None:
        return found
    out: Tensor = _RoutedExperts.apply(  # type: ignore[no-untyped-call]
        x_TD, expert_ids_TK, gates_TK, gate_up_E2FD, down_EDF
    )
    return out
