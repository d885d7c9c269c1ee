"""The 80 % interval of a serving prediction: what the fit missed by, on rows like it.

A model on a chip that the fit has rows of is held to the errors of single rows left out; one that it has none of to
the errors made on whole (model, chip) cells left out of the fit, apart for NVIDIA's data-centre chips and for all
others, of which fewer are known. scripts/fit_serving.py writes both.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from centime.catalogue.chips import Chip
from centime.plan.serving.speeds import CONSTANTS

WIDEST = (-0.35, 0.35)  # logarithms, before anything is fitted


@lru_cache(maxsize=1)
def _fitted() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    return found


def cell(model: str, chip: Chip) -> str:
    """A model on a chip, by their catalogue names."""
    return f"{model} on {chip.name}"


def unseen_kind(chip: Chip) -> str:
    """How well chips like it are known: 'usual' (NVIDIA in data centres) or 'thin' (all others)."""
    return "usual" if chip.vendor.lower() == "nvidia" and (chip.memory_tb_s or 0) > 1.9 else "thin"


def spread(model: str, chip: Chip) -> tuple[float, float]:
    """Factors from a predicted throughput of `model` on `chip` to the low and the high end of its interval."""
    known = _fitted()
    kind = "seen" if cell(model, chip) in known.get("cells", ()) else unseen_kind(chip)
    low, high = known.get("interval", {}).get(kind, WIDEST)
    return math.exp(low), math.exp(high)


def interval(model: str, chip: Chip, predicted: float, *, time: bool = False) -> tuple[float, float]:
    """Low and high around `predicted`, a throughput, or with `time` a latency (long where throughput is low)."""
    low, high = spread(model, chip)
    return (predicted / high, predicted / low) if time else (predicted * low, predicted * high)
