"""A model with fresh weights on the devices of a run, behind the engine that fits their number."""

from __future__ import annotations

from collections.abc import Callable

import torch

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.recipe import Recipe
from centime.train.engine.interface import TrainingEngine
from centime.train.engine.loss import Objective
from centime.train.engine.process_group import Ranks
from centime.train.engine.single import SingleDevice
from centime.train.engine.wrap import apply


def new_engine(
    config: ModelConfig,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype,
    place: Ranks,
    objective: Callable[[Transformer], Objective] = Objective,
) -> TrainingEngine:
    """This rank's engine for `config`, with the weights that the recipe's seed gives.

    dtype: what is computed in; the master weights are fp32. objective: the model with the loss that it is trained on.
    """
    with device:
        model = Transformer(config)
    model.init_weights(recipe.seed)
    apply(model, recipe.run)
    if place.world == 1:
        return SingleDevice(model, recipe.optimizer, dtype, objective)
    from centime.train.engine.sharded import Sharded  # FSDP, which takes two seconds to import

    return Sharded(model, recipe.optimizer, dtype, place, objective)
