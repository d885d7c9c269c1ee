"""Where an adapter can stand: a model's matrices under the names that transformers and PEFT have for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError, nearest
from centime.model.decoder import Transformer
from centime.model.matching import target
from centime.model.names import Slot, slots, stacked_experts

GROUPS = ("all-linear", "attention", "mlp", "experts", "router", "head")
"""all-linear: attention and mlp, shared experts among it, as PEFT means it; experts: the routed ones."""


@dataclass(frozen=True)
class Site:
    """A matrix [O, I], or a stack of experts' [E, O, I], that an adapter can stand beside.

    name: of the module, or of the parameter where PEFT has it under `target_parameters`. module, part: the module that
    has it here, and which of its matrices it is ("": its only one).
    """

    name: str
    group: str
    module: str
    part: str
    shape: tuple[int, ...]

    @property
    def is_parameter(self) -> bool:
        """Whether PEFT adapts the parameter and not a linear layer: stacked experts, and routers."""
        return self.group in ("experts", "router")

    @property
    def leaf(self) -> str:
        """The last part of its name, by which people call it."""
        return self.name.removesuffix(".weight").rpartition(".")[2]


def sites(config: ModelConfig) -> list[Site]:
    """All of a model's, in the order of its layers; MTP modules, which other programs do not load, have none."""
    with torch.device("meta"):
        state = Transformer(config).state_dict()
    found = []
    for slot in (*_matrices(config), *stacked_experts(config)):
        shape = tuple(target(state, slot).shape)
        if len(shape) > 1:
            found.append(_site(slot, shape))
    return sorted(found, key=lambda site: _order(site.name))


def sites_named(config: ModelConfig, targets: Sequence[str], where: str) -> list[Site]:
    """The sites that `targets` name: of GROUPS, or a module's last name (q_proj), or its whole one, * for any text.

    where: whose setting it is, for the sentence. Raises UserError on a target that names nothing, or an embedding.
    """
    there = sites(config)
    picked: set[Site] = set()
    for wanted in targets:
        if "embed" in wanted:
            raise UserError(
                f"{where}: {wanted!r} is the embedding, a table of rows and no product; adapters stand beside matrices."
            )
        matched = [site for site in there if is_named(site, wanted)]
        if not matched and wanted in ("head", "lm_head") and config.tie_word_embeddings:
            raise UserError(
                f"{where}: {wanted!r} is the embedding too in this model (tie_word_embeddings), which an adapter of "
                "the head would change with it; leave it out."
            )
        if not matched:
            names = sorted({site.group for site in there} | {site.leaf for site in there} | {"all-linear"})
            raise UserError(
                f"{where}: the model has nothing called {wanted!r}; it has {', '.join(names)}.{nearest(wanted, names)}"
            )
        picked.update(matched)
    return [site for site in there if site in picked]


def is_named(site: Site, wanted: str) -> bool:
    """Whether a target names a site."""
    if wanted in GROUPS:
        return site.group == wanted or (wanted == "all-linear" and site.group in ("attention", "mlp"))
    name = site.name.removesuffix(".weight")
    if "*" in wanted:
        return fnmatchcase(name, wanted) or fnmatchcase(name, f"*.{wanted}")
    return name == wanted or name.endswith(f".{wanted}") or site.name.endswith(f".{wanted}")


def _matrices(config: ModelConfig) -> Iterator[Slot]:
    beyond = config.num_hidden_layers
    for slot in slots(config):
        layer = re.match(r"model\.layers\.(\d+)\.", slot.disk)
        if (layer and int(layer[1]) >= beyond) or ".mlp.experts." in slot.disk or not slot.disk.endswith(".weight"):
            continue
        if slot.ours != "embed.weight":
            yield slot


def _site(slot: Slot, shape: tuple[int, ...]) -> Site:
    name, (module, _, leaf) = slot.disk, slot.ours.rpartition(".")
    if ".mlp.experts." in name:
        return Site(name, "experts", module, leaf, shape)
    if name.endswith(".mlp.gate.weight"):
        return Site(name, "router", module, "", shape)
    group = "attention" if ".self_attn." in name else "head" if name == "lm_head.weight" else "mlp"
    part = {"weight": "", "down": "down"}.get(leaf) if leaf != "gate_up" else ("gate", "up")[slot.index[-1]]
    assert part is not None
    return Site(name.removesuffix(".weight"), group, module, part, shape)


def _order(name: str) -> tuple[int, str]:
    layer = re.match(r"model\.layers\.(\d+)\.", name)
    return (int(layer[1]) if layer else 1 << 30), name
