"""Plans of `plan train` from the inputs that a card keeps: of a run, or of what there is for one."""

from __future__ import annotations

from typing import Any

from centime.plan.training.means import AffordedPlan, Means
from centime.plan.training.means_search import afford
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.typed_inputs import typed


def from_inputs(inputs: dict[str, Any]) -> TrainingPlan | AffordedPlan:
    """The plan of a card's inputs. Raises UserError on keys and values that are none of a request."""
    if "means" in inputs:
        return afford(typed(Means, inputs["means"], "inputs of train"))
    return plan_training(typed(TrainingRequest, inputs, "inputs of train"))
