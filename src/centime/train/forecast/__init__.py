"""What a run will take before it begins: seconds by a few timed steps, memory, money, and what a budget allows.

The same steps give the interval; a machine's profile and its measured peak stand beside them.
"""

from centime.train.forecast.budget import Budget, effective_budget, parse_budget, smoke
from centime.train.forecast.by_profile import fits, stage_seconds
from centime.train.forecast.estimate import Forecast, StageForecast, stage_forecast
from centime.train.forecast.fitting import INFINITE, StageAmounts, fit, least_factor, least_seconds, steps_bought
from centime.train.forecast.memory import (
    available_bytes,
    default_micro_batch,
    peak_bytes,
    require_disk,
    require_fit,
    require_rows,
    snapshot_bytes,
    trained_parameters,
)
from centime.train.forecast.peak import kept_peak, measured_peak, raise_peak
from centime.train.forecast.timing import StepSeconds, measure

__all__ = [
    "INFINITE",
    "Budget",
    "Forecast",
    "StageAmounts",
    "StageForecast",
    "StepSeconds",
    "available_bytes",
    "default_micro_batch",
    "effective_budget",
    "fit",
    "fits",
    "kept_peak",
    "least_factor",
    "least_seconds",
    "measure",
    "measured_peak",
    "parse_budget",
    "peak_bytes",
    "raise_peak",
    "require_disk",
    "require_fit",
    "require_rows",
    "smoke",
    "snapshot_bytes",
    "stage_forecast",
    "stage_seconds",
    "steps_bought",
    "trained_parameters",
]
