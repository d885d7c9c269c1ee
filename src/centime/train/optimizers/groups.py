"""AdamW for every parameter, or Muon for the matrices beside it, and which parameter belongs to which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from centime.ops.floats.newton_schulz import FIVE_STEPS, V4_STEPS
from centime.recipe import Optimizer as Settings
from centime.train.optimizers.adamw import AdamW
from centime.train.optimizers.muon import Muon


class Groups(NamedTuple):
    """Parameter names by treatment."""

    muon: list[str]  # matrices, under Muon only
    decayed: list[str]  # other matrices: AdamW with weight decay
    plain: list[str]  # vectors (norms): AdamW without


def group_parameters(model: nn.Module, settings: Settings) -> Groups:
    """V4 report section 4.2: embedding, head, router and norms stay on AdamW; stacked experts are matrices.

    Decay falls on matrices only, the embedding and the head among them. What is frozen is in no group.
    """
    groups = Groups([], [], [])
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kept = name in {"embed.weight", "head.weight"} or name.endswith("router.weight")
        if parameter.dim() < 2:
            groups.plain.append(name)
        elif settings.name == "muon" and not kept:
            groups.muon.append(name)
        else:
            groups.decayed.append(name)
    return groups


def build(
    settings: Settings,
    muon: Sequence[Tensor],
    decayed: Sequence[Tensor],
    plain: Sequence[Tensor],
    bf16: bool,
    muon_class: type[Muon] = Muon,
) -> list[AdamW | Muon]:
    """The optimizers over tensors that already carry their gradients' places; empty groups are left out."""
    made: list[AdamW | Muon] = []
    if muon:
        made.append(
            muon_class(
                muon,
                momentum=settings.muon_momentum,
                weight_decay=settings.weight_decay,
                update_rms=settings.muon_update_rms,
                coefficients=V4_STEPS if settings.muon_steps == "v4" else FIVE_STEPS,
                dtype=torch.bfloat16 if bf16 else torch.float32,
            )
        )
    adamw = [(tensors, decay) for tensors, decay in ((decayed, settings.weight_decay), (plain, 0.0)) if tensors]
    if adamw:
        made.append(AdamW(adamw, (settings.beta1, settings.beta2), settings.eps))
    return made
