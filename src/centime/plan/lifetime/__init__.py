"""Training and serving over a model's life, `centime plan lifetime`: the cheapest size of equal quality.

`plan_lifetime` answers a `LifetimeRequest`: laws of loss say what each size needs, the planner what it costs.
"""

from __future__ import annotations

from centime.plan.lifetime.plan import Lifetime
from centime.plan.lifetime.planner import plan_lifetime
from centime.plan.lifetime.request import LifetimeRequest

__all__ = ["Lifetime", "LifetimeRequest", "plan_lifetime"]
