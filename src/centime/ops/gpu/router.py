"""From a router's logits to its experts and their gates in one launch, for inference.

Letters of shapes: T tokens, E experts in groups, K of them for a token.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from centime.ops.routing.selection import Selection


def route(logits_TE: Tensor, bias_E: Tensor | None, selection: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """`route_reference` of float32 logits, without gradients; of equals the lower number wins.

    Experts come best first, where the reference leaves their order open.
    """
    *shape, experts = logits_TE.shape
    logits = logits_TE.reshape(-1, experts).contiguous()
    tokens, chosen = len(logits), selection.experts_per_token
    ids = torch.empty(tokens, chosen, dtype=torch.int64, device=logits.device)
    gates, scores = torch.empty(tokens, chosen, device=logits.device), torch.empty_like(logits)
    in_group = experts // selection.groups
    sizes = triton.next_power_of_2(selection.groups), triton.next_power_of_2(in_group)
    if tokens:
        _route[tokens,](
            *(logits, logits if bias_E is None else bias_E, ids, gates, scores, selection.groups, in_group),
            *(selection.kept_groups, chosen, selection.factor, *sizes, triton.next_power_of_2(chosen)),
            *(selection.scoring == "softmax", bias_E is not None, selection.best, selection.normalise and chosen > 1),
        )
    return ids.view(*shape, chosen), gates.view(*shape, chosen), scores.view(*shape, experts)


@triton.jit
def _route(
    logits,
    bias,
    ids,
    gates,
    scores,
    groups,
    in_group,
    kept_groups,
    chosen,
    factor,
    GROUPS: tl.constexpr,
    IN_GROUP: tl.constexpr,
    CHOSEN: tl.constexpr,
    SOFTMAX: tl.constexpr,
    BIASED: tl.constexpr,
    BEST: tl.constexpr,
    NORMALISE: tl.constexpr,
):
    token, experts = tl.program_id(0).to(tl.int64), groups * in_group
    group, within = tl.arange(0, GROUPS), tl.arange(0, IN_GROUP)
    expert = group[:, None] * in_group + within[None, :]
    is_expert = (group < groups)[:, None] & (within < in_group)[None, :]
    numbers = tl.load(logits + token * experts + expert, mask=is_expert, other=float("-inf"))
    if SOFTMAX:
        shares = tl.exp(numbers - tl.max(tl.max(numbers, 1), 0))
        score = shares / tl.sum(tl.sum(shares, 1), 0)
    else:
        score = tl.sigmoid(numbers)
    tl.store(scores + token * experts + expert, score, mask=is_expert)
    choice = score
    if BIASED:
        choice += tl.load(bias + expert, mask=is_expert, other=0.0)
    choice = tl.where(is_expert, choice, float("-inf"))
    if kept_groups < groups:
        worth = tl.max(choice, 1)
        if BEST == 2:
            second = tl.where(within[None, :] == tl.argmax(choice, 1)[:, None], float("-inf"), choice)
            worth += tl.max(second, 1)
        worth = tl.where(group < groups, worth, float("-inf"))
        is_open = group < 0
        for _ in range(kept_groups):
            best = tl.argmax(worth, 0)
            is_open = is_open | (group == best)
            worth = tl.where(group == best, float("-inf"), worth)
        choice = tl.where(is_open[:, None], choice, float("-inf"))
    place = tl.arange(0, CHOSEN)
    gate = tl.zeros((CHOSEN,), dtype=tl.float32)
    for turn in range(chosen):
        in_rows = tl.max(choice, 1)
        best_group = tl.argmax(in_rows, 0)
        is_best = (choice == tl.max(in_rows, 0)) & (group == best_group)[:, None]
        best_within = tl.min(tl.min(tl.where(is_best, within[None, :], IN_GROUP), 1), 0)
        best = best_group * in_group + best_within
        tl.store(ids + token * chosen + turn, best.to(tl.int64))
        gate = tl.where(place == turn, tl.sum(tl.sum(tl.where(expert == best, score, 0.0), 1), 0), gate)
        choice = tl.where(expert == best, float("-inf"), choice)
    if NORMALISE:
        gate = gate / (tl.sum(gate) + 1e-20)
    tl.store(gates + token * chosen + place, gate * factor, mask=place < chosen)
