"""Room for a model's numbers, quantised ones among them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from centime.model.decoder import Transformer
from centime.ops.quantised import Quantised


def allocate(
    empty: Transformer, kinds: Mapping[str, str], block: int, dtype: torch.dtype, device: torch.device | str
) -> Transformer:
    """A model on no device, in place, with room on `device` for its numbers: of `kinds` by name, else in `dtype`."""
    shapes = {name: empty.get_parameter(name).shape for name in kinds}
    for name in kinds:
        _set(empty, name, nn.Parameter(torch.empty(0, device="meta")))
    # as Module.to_empty does it, but that one asks PyTorch's compiler, whose import takes half a second
    model: Transformer = empty.to(dtype)._apply(  # type: ignore[no-untyped-call]
        lambda t: torch.empty(t.shape, dtype=t.dtype, device=device)
    )
    for name, kind in kinds.items():
        _set(model, name, Quantised.empty(tuple(shapes[name]), kind, block, device))
    return model


def _set(model: Transformer, name: str, parameter: nn.Parameter) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, parameter)
