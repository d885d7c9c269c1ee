"""What of a run may change as it is resumed, if asked: learning rates, their schedules, the weights of the losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from centime.recipe import Recipe

CHANGEABLE = {
    "lr", "warmup_steps", "constant_until", "cosine_until", "lr_end_ratio", "plateaus", "bias_update_speed",
    "bias_update_until", "balance_loss", "mtp_weight", "mtp_weight_end", "mtp_weight_until", "weight_decay", "clip",
}  # fmt: skip
"""Keys that change what a step does, and neither which rows it takes nor how many steps there are."""


@dataclass(frozen=True)
class RecipeChange:
    """One key of a recipe that has another value than before."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key} is {self.after} instead of {self.before}"

    def meant(self, settings: Sequence[str]) -> bool:
        """Whether it may change, and a --set names it."""
        named = {_plain(setting.partition("=")[0].strip()) for setting in settings}
        plain = _plain(self.key)
        known = any(plain == name or plain.startswith(f"{name}.") for name in named)
        return known and not CHANGEABLE.isdisjoint(plain.split("."))


def changes(before: Recipe, after: Recipe) -> list[RecipeChange]:
    """Keys whose values differ, the [run] section left out: it does not change what is learned."""
    old, new = (_flat(recipe.model_dump(mode="json", exclude={"run"})) for recipe in (before, after))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [RecipeChange(key, old.get(key), new.get(key)) for key in keys]


def _plain(key: str) -> str:
    """A key without the numbers of its lists: one [[context]] needs none in a --set."""
    return ".".join(part for part in key.split(".") if not part.isdigit())


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {name: value for key, item in tree.items() for name, value in _flat(item, f"{prefix}{key}.").items()}
    if isinstance(tree, list):
        return {name: value for i, item in enumerate(tree) for name, value in _flat(item, f"{prefix}{i}.").items()}
    return {prefix.removesuffix("."): tree}
