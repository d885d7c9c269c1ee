"""What it will cost: counts of parameters, FLOPs and bytes. Shares only `catalogue`; never imports torch.

`Counts` and `count` are imported on first use: they bring pydantic, which most plans do without, and a plan must
answer at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centime.plan.counts import Counts, count

__all__ = ["Counts", "count"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from centime.plan import counts

        return getattr(counts, name)
    raise AttributeError(f"module 'centime.plan' has no attribute {name!r}")
