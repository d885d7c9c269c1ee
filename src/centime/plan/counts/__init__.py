"""What a model is per token: its matrix products, and from them parameters, FLOPs and bytes of cache, exactly.

`count` answers for a model that centime can build; the planner asks `architecture.count_architecture`, which knows
every family of the catalogue. `Counts` and `count` are imported on first use: they bring pydantic, which most plans do
without, and a plan must answer at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centime.plan.counts.config import Counts, count

__all__ = ["Counts", "count"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from centime.plan.counts import config

        return getattr(config, name)
    raise AttributeError(f"module 'centime.plan.counts' has no attribute {name!r}")
