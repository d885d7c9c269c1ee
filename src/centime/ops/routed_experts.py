"""The routed experts of a mixture: each token goes through its K chosen feed-forwards, weighted by its gates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.swiglu import swiglu


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


def routed_experts(
    x_TD: Tensor, expert_ids_TK: Tensor, gates_TK: Tensor, gate_up_E2FD: Tensor, down_EDF: Tensor
) -> Tensor:
    """The same on contiguous slices: tokens are sorted by expert once, and every expert is three plain GEMMs.

    x [T, D], expert_ids int64 [T, K], gates [T, K], gate_up [E, 2, F, D], down [E, D, F] -> [T, D].
    """
    T, K = expert_ids_TK.shape
    E, _, F_, D = gate_up_E2FD.shape
    order = expert_ids_TK.flatten().argsort(stable=True)  # [T*K], slots grouped by expert
    counts = torch.bincount(expert_ids_TK.flatten(), minlength=E).tolist()
    x_sorted = x_TD[order // K]
    outputs = []
    for e, x_nD in enumerate(x_sorted.split(counts)):
        gate, up = F.linear(x_nD, gate_up_E2FD[e].view(2 * F_, D)).chunk(2, dim=-1)
        outputs.append(F.linear(swiglu(gate, up), down_EDF[e]))
    y_TKD = torch.cat(outputs)[order.argsort()].view(T, K, D)
    return torch.einsum("tk,tkd->td", gates_TK.to(x_TD.dtype), y_TKD)
