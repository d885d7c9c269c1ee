"""What a GPU does, as fleet and budget need it: tokens a second when it serves, GPU-hours of a training run."""

from __future__ import annotations

from centime.errors import UserError
from centime.plan.scenario import Scenario
from centime.plan.text import Said
from centime.plan.uncertain import Uncertain


def serving_rates(scenario: Scenario) -> tuple[dict[str, Uncertain], Said]:
    """The two rates of a scenario's `serving` at a GPU's limit, and a sentence about them."""
    raise UserError(f"{scenario.name}: state serving.input_tokens_per_s_per_gpu and output_tokens_per_s_per_gpu.")


def limit_rates(model: str, chip: str) -> tuple[Uncertain, Uncertain, Said]:
    """(prefill, decode) in tokens/s per GPU at its limit, and a sentence about them."""
    raise UserError(f"no serving speed of {model} on {chip} is known.")


def run_gpu_hours(model: str, chip: str) -> tuple[float, Said]:
    """GPU-hours of one training run of `model` on `chip`, and a sentence about them."""
    raise UserError(f"no training time of {model} on {chip} is known.")
