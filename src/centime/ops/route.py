"""The choice of experts in one call, for a router whose matrix is in panels.

Letters of shapes: T tokens, E experts, K of them for a token, D the model's width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from centime.ops.panels import Panels, library_of_panels


class RoutingRule(NamedTuple):
    """How experts are chosen of their scores (V2 report section 2.2; V3 report, eq. 12 to 16)."""

    softmax: bool  # else sigmoid
    group_by: int  # how many of a group's best experts say what it is worth; 0: groups count for nothing
    groups: int
    kept_groups: int
    chosen: int  # K
    normalised: bool  # gates of a sum of 1, before the factor
    factor: float


def route(x_TD: Tensor, weight_ED: Panels, bias_E: Tensor | None, rule: RoutingRule) -> tuple[Tensor, Tensor, Tensor]:
    """x bf16, bias float32 -> expert ids int64 [T, K], gates float32 [T, K], scores float32 [T, E].

    Products are exact and summed in float32, as those of a float32 matrix would be.
    """
    x, experts = x_TD.contiguous(), weight_ED.outputs
    T, D = x.shape
    ids, gates = torch.empty(T, rule.chosen, dtype=torch.int64), torch.empty(T, rule.chosen)
    scores = torch.empty(T, experts)
    library_of_panels().route(
        *(x.data_ptr(), T, D, weight_ED.data_ptr(), experts, None if bias_E is None else bias_E.data_ptr()),
        *(rule.softmax, rule.group_by, rule.groups, rule.kept_groups, rule.chosen, rule.normalised, rule.factor),
        *(scores.data_ptr(), ids.data_ptr(), gates.data_ptr()),
    )
    return ids, gates, scores
