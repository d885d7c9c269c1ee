"""What it will cost: counts of parameters, FLOPs and bytes. Shares only `catalogue`; never imports torch."""

from centime.plan.counts import Counts, count

__all__ = ["Counts", "count"]
