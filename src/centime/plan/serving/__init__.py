"""What serves a demand, `centime plan serve`: a roofline of a unit's step, the units that keep the limits, their money.

`plan_serving` answers a `ServingRequest`; the constants that the roofline was fitted with are in `constants.json`.
"""

from __future__ import annotations

from centime.plan.serving.plan import ServingPlan
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest

__all__ = ["Demand", "ServingPlan", "ServingRequest", "plan_serving"]
