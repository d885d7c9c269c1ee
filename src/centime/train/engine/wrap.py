"""What is applied to a model from outside, so that no file in model/ knows of it: recompute, compile."""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from centime.model import Transformer
from centime.recipe import RunSection


def blocks(model: Transformer) -> list[nn.Module]:
    """The decoder's blocks and those of the MTP modules: the units of recompute, compilation and sharding."""
    return [*model.layers, *(module.block for module in model.mtp)]


def apply(model: Transformer, run: RunSection) -> None:
    """Wraps every block's forward as the recipe asks. Parameter names stay as they are."""
    for block in blocks(model):
        if run.compile:
            block.compile()
        if run.activation_checkpointing:
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
