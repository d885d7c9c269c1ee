"""A training run, `centime plan train`: its stages, the time that failures take, chip-hours and money.

`plan_training` answers a `TrainingRequest`; `searched_step` prices the many runs that others compare with.
"""

from __future__ import annotations

from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import Extension, TrainingRequest

__all__ = ["Extension", "TrainingPlan", "TrainingRequest", "plan_training"]
