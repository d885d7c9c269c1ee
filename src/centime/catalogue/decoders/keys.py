"""The keys of a config.json, asked for by any of the names that families give a size, and checked as they are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from centime.errors import UserError
from centime.json_files import brief

EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
TOP_K = (
    *("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "experts_per_token", "moe_top_k", "moe_topk"),
    *("moe_k", "num_selected_experts"),
)  # fmt: skip
MOST_LAYERS = 10_000  # as for models that centime builds; the deepest published has under 200
LARGEST = 2**33  # of any size: the largest published is a table of some millions of rows


class ConfigKeys:
    """One object of a config.json. `used` gathers the names that were asked for.

    where: the file, for the sentences of UserError. What is null counts as not given.
    """

    def __init__(self, raw: Mapping[str, Any], where: str, within: str = "") -> None:
        self.raw, self.where, self.within = raw, where, within
        self.used: set[str] = set()

    def get(self, *names: str) -> Any:
        """What the first name that is given holds, or None."""
        self.used.update(names)
        return next((self.raw[name] for name in names if self.raw.get(name) is not None), None)

    def whole(self, *names: str, default: int | None = None, least: int = 0) -> int | None:
        """A whole number of at least `least`; `default` where no name is given."""
        value = self.get(*names)
        if value is None:
            return default
        return self._checked(names, value, least)

    def size(self, *names: str, default: int | None = None) -> int:
        """A whole number above zero. Raises UserError where it is missing and has no default."""
        found = self.whole(*names, default=default, least=1)
        if found is None:
            other = f" (or {', '.join(names[1:])})" if names[1:] else ""
            raise UserError(f"{self.where}: {self.within}{names[0]}{other} is missing; the model's size depends on it.")
        return found

    def per_layer(self, layers: int, *names: str, default: int | None = None) -> list[int]:
        """A size for every layer: one for all, or a list with as many as there are layers."""
        value = self.get(*names)
        if not isinstance(value, list):
            return [self.size(*names, default=default)] * layers
        if len(value) != layers:
            raise self.refused(names, value, f"one number for each of the {layers} layers")
        return [self._checked(names, one, 1) for one in value]

    def flag(self, *names: str, default: bool = False) -> bool:
        """true or false; `default` where no name is given."""
        value = self.get(*names)
        if value is None:
            return default
        if value not in (True, False):
            raise self.refused(names, value, "true or false")
        return bool(value)

    def text(self, *names: str) -> str:
        """A text; empty where no name is given."""
        value = self.get(*names)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.refused(names, value, "a text")
        return value

    def words(self, *names: str) -> list[str]:
        """A list of texts; empty where no name is given."""
        return self._listed(str, "a list of texts", names)

    def numbers(self, *names: str) -> list[int]:
        """A list of whole numbers; empty where no name is given."""
        return self._listed(int, "a list of whole numbers", names)

    def inner(self, *names: str) -> ConfigKeys | None:
        """The keys of an object inside, or None where no name is given."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refused(names, value, "an object")
        name = self._given(names)
        return ConfigKeys(value, self.where, f"{self.within}{name}.")

    def refused(self, names: tuple[str, ...], value: Any, expected: str) -> UserError:
        """The error that a key holds what it may not."""
        return UserError(f"{self.where}: {self.within}{self._given(names)} is {brief(value)}; expected {expected}.")

    def _given(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if self.raw.get(name) is not None), names[0])

    def _checked(self, names: tuple[str, ...], value: Any, least: int) -> int:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= LARGEST or value != int(value):
            raise self.refused(names, value, f"a whole number of at least {least}, and of at most {LARGEST:,}")
        return int(value)

    def _listed(self, kind: type, expected: str, names: tuple[str, ...]) -> list[Any]:
        value = self.get(*names)
        if value is None:
            return []
        if not isinstance(value, list) or any(not isinstance(one, kind) or isinstance(one, bool) for one in value):
            raise self.refused(names, value, expected)
        return value


@functools.cache
def spaced(name: str) -> tuple[str, ...]:
    """The parts of a key: 'num_local_experts' -> ('num', 'local', 'experts')."""
    return tuple(name.lower().split("_"))
