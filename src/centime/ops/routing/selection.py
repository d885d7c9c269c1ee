"""Which experts a token visits and what each counts, from the logits of its router.

V2 report, section 2.1.2 (eq. 20 to 22) and device-limited routing; V3 report, section 2.1.2 (eq. 12 to 16).

Letters of shapes: T tokens (any number of dimensions), E experts, K of them for a token.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Selection(NamedTuple):
    """How experts are selected."""

    scoring: Literal["softmax", "sigmoid"]
    experts_per_token: int  # K
    groups: int  # of experts
    kept_groups: int  # that a token may use; as many as there are: no limit
    best: Literal[1, 2]  # how many of its experts a group is worth: V2 takes its best one, V3 the sum of two
    normalise: bool  # gates of the chosen ones are scaled to sum to 1
    factor: float  # what gates are multiplied by


def route_reference(logits_TE: Tensor, bias_E: Tensor | None, selection: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """(expert ids int64 [T, K], gates [T, K], scores [T, E]) of float32 logits.

    The bias steers the choice and never the gates. Gradients reach the logits through gates and scores.
    """
    scores = logits_TE.softmax(-1) if selection.scoring == "softmax" else logits_TE.sigmoid()
    expert_ids = choose(scores.detach(), bias_E, selection)
    gates = scores.gather(-1, expert_ids)
    if selection.normalise and selection.experts_per_token > 1:
        gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
    return expert_ids, gates * selection.factor, scores


def choose(scores_TE: Tensor, bias_E: Tensor | None, selection: Selection) -> Tensor:
    """int64 [T, K]: the best K of the biased scores among the kept groups."""
    choice = scores_TE if bias_E is None else scores_TE + bias_E
    if selection.kept_groups < selection.groups:
        grouped = choice.unflatten(-1, (selection.groups, -1))
        worth = grouped.amax(-1) if selection.best == 1 else grouped.topk(2, dim=-1).values.sum(-1)
        best = worth.topk(selection.kept_groups, dim=-1, sorted=False).indices
        open_groups = torch.zeros_like(worth, dtype=torch.bool).scatter(-1, best, True)
        choice = grouped.masked_fill(~open_groups[..., None], float("-inf")).flatten(-2)
    return choice.topk(selection.experts_per_token, dim=-1, sorted=False).indices
