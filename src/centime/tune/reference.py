"""The reference that a policy is held to: a copy of the model as it was, which shares what is frozen in both."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor

from centime.model import Transformer


def copy_of(model: Transformer) -> Transformer:
    """The model as it is now. Beside a frozen base that is a copy of its adapters alone."""
    frozen = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, frozen).eval().requires_grad_(False)


def kept_of(reference: Transformer | None, model: Transformer) -> dict[str, Tensor]:
    """What a checkpoint keeps of the reference to `model`: all of it, or its adapters."""
    if reference is None:
        return {}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    state = reference.state_dict()
    whole = all(parameter.requires_grad for parameter in model.parameters())
    return {name: tensor for name, tensor in state.items() if whole or name in trained}


def restore(reference: Transformer, kept: Mapping[str, Tensor]) -> None:
    """Sets a new copy to what was kept; what is frozen is as it was. Raises RuntimeError on other shapes or names."""
    reference.load_state_dict({**reference.state_dict(), **kept})
