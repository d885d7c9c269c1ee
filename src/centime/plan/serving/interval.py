"""The 80 % interval of a serving prediction: what the fit missed by on runs as far from it as this one.

How far: the model was measured on the chip; both were, but apart; one of them alone; neither. The errors are those on
whole (model, chip, engine) cells, models and chips left out of the fit (conformal prediction by groups), apart for a
time to first token, and for NVIDIA's data-centre chips and all others. scripts/fit_serving.py writes them. The end of
a plan's interval stays within what bandwidth and peaks let its units reach.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.messages import Said, said
from centime.plan.serving.choice import Choice, Lengths, Mixed
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import EngineModel, most_answered, most_prompted
from centime.plan.serving.speeds import CONSTANTS

WIDEST = (-0.7, 0.7)  # logarithms, before anything is fitted


@lru_cache(maxsize=1)
def _fitted() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=1)
def _cells() -> tuple[tuple[str, str], ...]:
    """(model, chip) of every cell of the fit, by their catalogue names."""
    return tuple((model, chip_name) for model, chip_name in _fitted().get("cells", ()))


def distance(model: str, kind: Chip) -> str:
    """How far a model on a chip is from what was measured: 'seen', 'apart', 'new model', 'new chip' or 'neither'."""
    models, chips = ({cell[i] for cell in _cells()} for i in (0, 1))
    if (model, kind.name) in _cells():
        return "seen"
    if model in models:
        return "apart" if kind.name in chips else "new chip"
    return "new model" if kind.name in chips else "neither"


def usual(kind: Chip) -> bool:
    """Whether chips like it are well known: NVIDIA's in data centres."""
    return kind.vendor.lower() == "nvidia" and (kind.memory_tb_s or 0) > 1.9


def interval_kind(far: str, kind: Chip, target: str = "") -> str:
    """The key of the interval for a distance, a chip and the figure that is predicted."""
    if target == "ttft_ms":
        return f"{far}, first token"
    return far if usual(kind) else f"{far}, thin"


def spread(model: str, kind: Chip, target: str = "", far: str = "") -> tuple[float, float]:
    """Factors from a predicted throughput of `model` on a chip to the low and the high end of its interval.

    far: the distance from what was measured, where it is another than that of the model on the chip.
    """
    low, high = _fitted().get("interval", {}).get(interval_kind(far or distance(model, kind), kind, target), WIDEST)
    return math.exp(low), math.exp(high)


def most_per_chip(decode: EngineModel, prefill: EngineModel | None, lengths: Lengths) -> float:
    """Output tokens a second and chip that units could give at the very most, by bandwidth and peaks; those of units
    that prefill (None: the others do both) counted."""
    isl, osl, hit = lengths.isl, lengths.osl, lengths.hit
    if prefill is None:
        return most_answered(decode, isl, osl, hit)
    return osl / (osl / most_answered(decode, isl, osl, 1.0) + isl / most_prompted(prefill, isl, hit))


def reach(choice: Choice, lengths: Lengths) -> float:
    """How many times faster than planned the units could be at the very most."""
    if isinstance(choice, Mixed):
        most = most_per_chip(choice.engine, None, lengths)
    else:
        most = most_per_chip(choice.decode.engine, choice.prefill.engine, lengths)
    return max(1.0, most * choice.gpu_seconds(lengths) / lengths.osl)


def spread_of(choice: Choice, lengths: Lengths, model: str) -> tuple[float, float]:
    """Factors to the ends of the interval of a choice's throughput, the high one within what its chips can reach."""
    kind = (choice if isinstance(choice, Mixed) else choice.decode).engine.chip
    low, high = spread(model, kind)
    return low, min(high, reach(choice, lengths))


def interval(model: str, kind: Chip, predicted: float, target: str = "", far: str = "") -> tuple[float, float]:
    """Low and high around `predicted`: a throughput, or a time where the target is one (long where speed is low)."""
    low, high = spread(model, kind, target, far)
    return (predicted / high, predicted / low) if target.endswith("_ms") else (predicted * low, predicted * high)


def nearest_measured(model: str, kind: Chip) -> Said:
    """One sentence: what was measured that is nearest to the model on the chip."""
    far, cells = distance(model, kind), _cells()
    if far == "seen":
        return said(
            "Measured: {model} on {chip} is among the published runs that speeds are fitted to", **_of(model, kind)
        )
    like = sorted({cell[1] for cell in cells if cell[0] == model}, key=lambda name: _unlike(chip(name), kind))
    akin = sorted({cell[0] for cell in cells if cell[1] == kind.name}, key=lambda name: abs(_larger(name, model)))
    if far == "apart":
        return said(
            "Nearest measured: {model} on {like}, and {akin} on {chip}; not the two together",
            **_of(model, kind),
            like=_beside(like[0], kind),
            akin=_sized(akin[0], model),
        )
    if far == "new chip":
        near = _beside(like[0], kind)
        return said("Nearest measured: {model} on {like}; nothing on {chip}", **_of(model, kind), like=near)
    if far == "new model":
        near = _sized(akin[0], model)
        return said("Nearest measured: {akin} on {chip}; nothing of {model}", **_of(model, kind), akin=near)
    nearest = min(cells, key=lambda cell: _unlike(chip(cell[1]), kind) + abs(_larger(cell[0], model)))
    return said(
        "Nearest measured: {akin} on {like}; nothing of {model}, and nothing on {chip}",
        **_of(model, kind),
        akin=_sized(nearest[0], model),
        like=_beside(nearest[1], kind),
    )


def _of(model: str, kind: Chip) -> dict[str, Said | str]:
    return {"model": model, "chip": kind.name}


def _unlike(one: Chip, other: Chip) -> float:
    """How much two chips differ: logarithms of bandwidth and peak, and the maker."""
    sizes = ((one.memory_tb_s, other.memory_tb_s), (one.bf16_tflops, other.bf16_tflops))
    return sum(abs(math.log(a / b)) for a, b in sizes if a and b) + (one.vendor != other.vendor)


def _larger(one: str, other: str) -> float:
    """The logarithm of how many times the parameters of the other a model has."""
    a, b = (model_cost(architecture(name)) for name in (one, other))
    return math.log((a.expert_params + a.other_params) / (b.expert_params + b.other_params))


def _sized(akin: str, model: str) -> Said:
    """A measured model, and how far in size it is from the one that is asked about."""
    return said("{name} ({times:.2g} x its parameters)", name=akin, times=math.exp(_larger(akin, model)))


def _beside(like: str, kind: Chip) -> Said | str:
    """A measured chip, and how far in bandwidth it is from the one that is asked about."""
    there = chip(like).memory_tb_s
    if not there or not kind.memory_tb_s:
        return like
    return said("{name} ({times:.2g} x its memory bandwidth)", name=like, times=there / kind.memory_tb_s)
