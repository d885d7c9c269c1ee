"""Adapters put beside a model's matrices to be trained there, all else frozen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import nn

from centime.model.adapted.layers import AdaptedExperts, AdaptedFeedForward, AdaptedLinear, AdaptedRouter
from centime.model.adapted.low_rank import LowRank
from centime.model.adapted.sites import Site, sites_named
from centime.model.decoder import Transformer
from centime.model.experts import Experts, FeedForward
from centime.model.linear import Linear
from centime.model.router import Router


@dataclass(frozen=True)
class LowRankSettings:
    """What adapters are like. targets: as `sites_named` takes them; rslora: scale alpha / sqrt(rank) (2312.03732)."""

    rank: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)
    rslora: bool = False

    def scale(self, rank: int) -> float:
        """What B A is multiplied by."""
        return self.alpha / (rank**0.5 if self.rslora else rank)


def attach(model: Transformer, settings: LowRankSettings, seed: int) -> dict[Site, LowRank]:
    """Puts new adapters into `model`, in place, and freezes all else. B is zero: the model computes what it did.

    Raises UserError where a target names nothing.
    """
    where = sites_named(model.config, settings.targets, "lora.targets")
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for site in where:
        made[site] = LowRank(site.shape, settings.rank, settings.scale(settings.rank), settings.dropout)
        made[site].begin(generator)
    model.requires_grad_(False)
    place(model, made)
    return made


def place(model: Transformer, adapters: dict[Site, LowRank]) -> None:
    """Puts adapters beside the matrices of their sites, on the device of these."""
    device = model.embed.weight.device
    by_module: dict[str, dict[str, LowRank]] = defaultdict(dict)
    for site, adapter in adapters.items():
        by_module[site.module][site.part] = adapter.to(device)
    for name, parts in by_module.items():
        model.set_submodule(name, _adapted(model.get_submodule(name), parts))


def parameter_names(site: Site) -> tuple[str, str]:
    """What A and B of a site are called among a model's parameters."""
    adapter = f"{site.module}.adapters.{site.part}" if site.part else f"{site.module}.adapter"
    return f"{adapter}.a", f"{adapter}.b"


def _adapted(plain: nn.Module, adapters: dict[str, LowRank]) -> nn.Module:
    if isinstance(plain, Linear):
        return AdaptedLinear(plain, adapters)
    if isinstance(plain, Router):
        return AdaptedRouter(plain, adapters)
    if isinstance(plain, FeedForward):
        return AdaptedFeedForward(plain, adapters)
    assert isinstance(plain, Experts)
    return AdaptedExperts(plain, adapters)
