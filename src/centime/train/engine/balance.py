"""Expert balance: how many tokens each expert got, the bias that steers them, and the sequence-wise loss.

Loads and losses are computed from the routings that the model returns, never from hooks inside it, so that a block
recomputed in the backward pass is counted once.

Letters of shapes: L layers, B sequences, S tokens, N = B S, E experts, K of them for a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.model import Router, Routing


def expert_loads(routings: Sequence[Routing], valid_BS: Tensor | None = None) -> Tensor:
    """int64 [layers, E]: how often each expert was chosen; positions where `valid` is False (padding) do not count."""
    ids_LN = torch.stack([routing.expert_ids.flatten(0, 1) for routing in routings])  # [L, B*S, K]
    experts = routings[0].scores.shape[-1]
    ones = torch.ones_like(ids_LN) if valid_BS is None else valid_BS.flatten()[None, :, None].expand_as(ids_LN).long()
    loads = torch.zeros(len(routings), experts, dtype=torch.int64, device=ids_LN.device)
    return loads.scatter_add_(1, ids_LN.flatten(1), ones.flatten(1))


def sequence_balance_loss(routings: Sequence[Routing], valid_BS: Tensor | None = None) -> Tensor:
    """Sum over layers and sequences of sum_i f_i P_i (V3 eq. 17 to 20, without alpha); a float32 scalar.

    f_i = E / (K T) * #{t : expert i is among the K largest scores of token t}, the bias left out as eq. 18 has it;
    P_i = mean over t of s_i,t / sum_j s_j,t. A perfectly balanced sequence scores 1 a layer.
    """
    scores = torch.stack([routing.scores for routing in routings])  # [L, B, S, E]
    E, K = scores.shape[-1], routings[0].expert_ids.shape[-1]
    chosen = torch.zeros_like(scores).scatter_(-1, scores.detach().topk(K, dim=-1, sorted=False).indices, 1.0)
    affinity = scores / scores.sum(-1, keepdim=True)
    if valid_BS is None:
        length: Tensor | int = scores.shape[2]
    else:
        mask = valid_BS[None, :, :, None]
        chosen, affinity = chosen * mask, affinity * mask
        length = valid_BS.sum(-1).clamp(min=1)[None, :, None]
    f = chosen.sum(2) * E / (K * length)
    P = affinity.sum(2) / length
    return (f * P).sum()


@torch.no_grad()
def update_bias(routers: Sequence[Router], loads_LE: Tensor, speed: float) -> None:
    """b_i += speed for experts below their layer's mean load, -= speed for those above (V3 section 2.1.2).

    `loads` [len(routers), E] are summed over every micro-batch and rank of the step. Every router has its row, those
    of the MTP modules too; routers without a bias (softmax scoring of V2) are passed over one by one.
    """
    if speed == 0:
        return
    load = loads_LE.float()
    steps = torch.sign(load.mean(-1, keepdim=True) - load) * speed
    for router, step in zip(routers, steps, strict=True):
        if hasattr(router, "e_score_correction_bias"):
            router.e_score_correction_bias.add_(step)


def imbalance(loads_LE: Tensor) -> float:
    """MaxVio: the busiest expert's load over its layer's mean, minus 1, averaged over layers (arXiv 2408.15664, eq. 4).

    0 is perfect balance; layers that saw no token are left out.
    """
    load = loads_LE.double()
    load = load[load.sum(-1) > 0]
    if not len(load):
        return 0.0
    return float((load.amax(-1) / load.mean(-1) - 1).mean())
