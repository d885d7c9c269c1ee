"""The engine that trains adapters: a frozen model on one device, of which only they have gradients and moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from centime.model import Transformer
from centime.model.adapted.adapter import Adapter
from centime.model.adapted.attach import LowRankSettings, attach, parameter_names
from centime.model.adapted.sites import Site
from centime.model.checkpoint import load
from centime.model.digest import weights_digest
from centime.ops.quantised import Quantised
from centime.recipe import Lora
from centime.recipe import Optimizer as Settings
from centime.train.engine.loss import Objective
from centime.train.engine.single import SingleDevice


class AdaptedDevice(SingleDevice):
    """Adapters and their optimizer; the state is theirs alone, for the model never changes.

    base: a digest of the frozen weights, by which a resumed run knows them.
    """

    def __init__(
        self,
        model: Transformer,
        lora: Lora,
        seed: int,
        settings: Settings,
        compute_dtype: torch.dtype,
        objective: Callable[[Transformer], Objective] = Objective,
    ) -> None:
        """seed: of A's first numbers. Raises UserError where a target of `lora` names nothing of the model."""
        self.base = weights_digest(model)
        self.low_rank = low_rank_settings(lora)
        self.sites = tuple(attach(model, self.low_rank, seed))
        super().__init__(model, settings, compute_dtype, objective)

    def go_on(self, objective: Objective, keep_moments: bool = True) -> None:
        """The next stage: the same weights under another loss."""
        self.objective = objective
        if not keep_moments:
            self.forget_moments()

    def adapter(self, base: str) -> Adapter:
        """The adapters as they are now, of the model called `base`."""
        weights = self.flat.named(self.flat.master)
        return adapter_of(weights, self.sites, self.low_rank, base)


def low_rank_settings(lora: Lora) -> LowRankSettings:
    """What a recipe's [lora] says of the adapters."""
    return LowRankSettings(lora.rank, lora.alpha, lora.dropout, tuple(lora.targets), lora.rslora)


def adapter_of(weights: Mapping[str, Tensor], sites: tuple[Site, ...], settings: LowRankSettings, base: str) -> Adapter:
    """The adapter whose numbers are among `weights`, by the model's own names. Raises KeyError where one is not."""
    pairs = {}
    for site in sites:
        a, b = parameter_names(site)
        pairs[site] = weights[a], weights[b]
    return Adapter(settings, base, pairs)


def frozen_model(folder: Path, lora: Lora, dtype: torch.dtype, device: torch.device) -> Transformer:
    """The model that adapters are put beside: quantised where its folder or [lora] base has it so, but for the head,
    whose loss is computed from plain numbers. Raises UserError as `centime.load` does."""
    model = load(folder, dtype=dtype, device=device, quantised=lora.base)
    if model.head is not None and isinstance(model.head.weight, Quantised):
        model.head.weight = nn.Parameter(model.head.weight.dense(dtype), requires_grad=False)
    return model
