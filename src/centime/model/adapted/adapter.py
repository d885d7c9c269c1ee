"""An adapter apart from any model: its settings and its pairs of matrices, and how it is merged into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from centime.errors import UserError
from centime.model.adapted.attach import LowRankSettings
from centime.model.adapted.sites import Site
from centime.model.decoder import Transformer
from centime.ops.finite import is_finite
from centime.ops.quantised import Quantised


@dataclass(frozen=True)
class Adapter:
    """pairs: A [.., R, I] and B [.., O, R] by the site that they stand at. base: the model's folder or name, as the
    adapter's maker wrote it."""

    settings: LowRankSettings
    base: str | None
    pairs: Mapping[Site, tuple[Tensor, Tensor]]

    @property
    def parameters(self) -> int:
        """All of its numbers."""
        return sum(a.numel() + b.numel() for a, b in self.pairs.values())


@torch.no_grad()
def merge(model: Transformer, adapter: Adapter) -> Transformer:
    """W + s B A in place of W, in place, summed in float32 and rounded to W's type once.

    A quantised matrix becomes plain in the type of the embedding. Raises UserError where the sum is too large for it.
    """
    for site, (a, b) in adapter.pairs.items():
        scale = adapter.settings.scale(a.shape[-2])
        product = b.float() @ a.float() * scale
        place = _matrix(model, site)
        place.copy_(place.float() + product.to(place.device).view(place.shape))
        if not is_finite(place):
            raise UserError(f"{site.name} with the adapter in it is too large for {place.dtype}; load it as float32.")
    return model


def _matrix(model: Transformer, site: Site) -> Tensor:
    """The part of a parameter that a site is, plain from now on."""
    module = model.get_submodule(site.module)
    leaf = {"": "weight", "gate": "gate_up", "up": "gate_up"}.get(site.part, site.part)
    weight = module.get_parameter(leaf)
    if isinstance(weight, Quantised):
        weight = nn.Parameter(weight.dense(model.embed.weight.dtype), requires_grad=False)
        setattr(module, leaf, weight)
    plain = weight.detach()
    return plain[0] if site.part == "gate" else plain[1] if site.part == "up" else plain
