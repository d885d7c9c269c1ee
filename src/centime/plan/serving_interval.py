"""The 80 % interval of a serving prediction, from the errors the fit made on (model, chip) cells it had not seen."""

from __future__ import annotations

import json
import math
from functools import lru_cache

from centime.catalogue.chips import Chip
from centime.plan.serving_speeds import CONSTANTS, Software


@lru_cache(maxsize=1)
def _quantiles() -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads(CONSTANTS.read_text(encoding="utf-8")).get("interval", {})
    return found


def kind_of(chip: Chip, software: Software) -> str:
    """How well a chip and its software are known: 'usual' (NVIDIA in data centres) or 'thin' (all others)."""
    return "usual" if chip.vendor.lower() == "nvidia" and (chip.memory_tb_s or 0) > 1.9 else "thin"


def spread(chip: Chip, software: Software) -> tuple[float, float]:
    """Factors from a predicted throughput to the low and the high end of its interval."""
    low, high = _quantiles().get(kind_of(chip, software), [-0.35, 0.35])
    return math.exp(low), math.exp(high)


def interval(chip: Chip, software: Software, predicted: float, *, time: bool = False) -> tuple[float, float]:
    """Low and high around `predicted`, a throughput, or with `time` a latency (slow where throughput is low)."""
    low, high = spread(chip, software)
    return (predicted / high, predicted / low) if time else (predicted * low, predicted * high)
