"""One optimizer step on a cluster in a layout: seconds by part, memory by kind, and how far off both may be.

`predict_step` is the way in; the constants that the step was fitted with are in `constants.json`.
"""

from __future__ import annotations

from centime.plan.step.layout import Layout
from centime.plan.step.prediction import StepPrediction, predict_step

__all__ = ["Layout", "StepPrediction", "predict_step"]
