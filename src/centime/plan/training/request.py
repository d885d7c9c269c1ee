"""What `centime plan train` is asked, and what it takes where the request leaves something open."""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, log2
from pathlib import Path
from typing import Any

from centime.catalogue import models
from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.catalogue.hourly_prices import ON_DEMAND, check_area, check_market
from centime.errors import UserError, nearest
from centime.messages import said
from centime.plan.counts.adapters import Adapters
from centime.plan.step.layout import parse, validate
from centime.plan.step.memory import OPTIMIZERS
from centime.plan.step.prediction import default_precision, software_at
from centime.plan.training.post_training import Reinforcement

RECIPES = Path(models.__file__).with_name("training_recipes.toml")
SEQ = 4096  # tokens a sequence, where nothing says more: DeepSeek-V3's and most published recipes
BATCH_TOKENS = 4_194_304  # a step, where nothing says more: Llama 1 to 3 (arXiv 2302.13971, 2307.09288, 2407.21783)
BATCH_TOKENS_A_CHIP = 8192
ADAPTER_BATCH = 16  # sequences a step, at least a chip's: an assumption, as small sets of examples are tuned on
LEAST_HOURS = 1 / 60  # between interruptions


@dataclass(frozen=True)
class Extension:
    """A stage at a longer sequence: tokens a sequence, sequences a step, steps."""

    seq: int
    global_batch: int
    steps: int


@dataclass(frozen=True)
class TrainingRequest:
    """What `centime plan train` asks. None: what the model's makers published, else a default that the plan states.

    tokens of pre-training; layout: 'auto' or 'pp=16,ep=64,...'; price: '$2/h'; date: of the start, ISO 8601, and of
    the software where no software_date says otherwise;
    region: who buys, cn, us or any: what may be bought on the date is stated;
    post_hours: chip-hours of post-training, an assumed input; sft_tokens, rl: post-training to predict instead;
    market: how the chips are rented, on-demand, reserved or spot; price_region: the part of the world that they are
    rented in (None: any); interrupted_every: hours between the instants at
    which a spot market takes some back (None: as was measured); currency: of the money, converted where it is another;
    first_run: whether what a first run takes beside the tuned one is asked for too; optimizer: of OPTIMIZERS; lora:
    adapters that are tuned in place of the weights, `tokens` being those of tuning.
    """

    model: str
    tokens: float
    gpu: str
    gpus: int
    seq: int | None = None
    global_batch: int | None = None
    precision: str | None = None
    layout: str | None = None
    price: str | None = None
    date: str | None = None
    software_date: str | None = None
    extension: tuple[Extension, ...] | None = None
    post_hours: float | None = None
    region: str = "any"
    sft_tokens: float | None = None
    rl: Reinforcement | None = None
    market: str = ON_DEMAND
    price_region: str | None = None
    interrupted_every: float | None = None
    currency: str | None = None
    first_run: bool = False
    optimizer: str = "adamw"
    lora: Adapters | None = None


@lru_cache(maxsize=1)
def recipes() -> dict[str, dict[str, Any]]:
    """Published ways to train, by the catalogue's name of the model."""
    return tomllib.loads(RECIPES.read_text(encoding="utf-8"))


def whole(name: str, value: float) -> int:
    """Raises UserError on what is no whole number."""
    if value != int(value):
        raise UserError(f"{name} is {value:g}; expected a whole number.")
    return int(value)


# More than anybody trains with; a slip of units is told, and no search over layouts goes on for ever.
MOST = {"tokens": 1e18, "gpus": 10**7, "seq": 10**8, "global_batch": 10**8, "sft_tokens": 1e18}


def check(request: TrainingRequest) -> None:
    """Raises UserError on what is no quantity, or more than anybody trains with."""
    for name, most in MOST.items():
        value = getattr(request, name)
        if value is not None and not 0 < value <= most:
            raise UserError(f"{name} is {value:g}; expected a number above zero, and at most {most:,.0f}.")
    if request.post_hours is not None and request.post_hours < 0:
        raise UserError(f"post_hours is {request.post_hours}; expected zero or more.")
    if request.rl is not None:
        request.rl.check()
    if request.optimizer not in OPTIMIZERS:
        hint = nearest(request.optimizer, OPTIMIZERS)
        raise UserError(f"--optimizer {request.optimizer!r} is none of {', '.join(OPTIMIZERS)}.{hint}")
    if request.lora is not None:
        _check_adapters(request, request.lora)
    check_market(request.market)
    check_area(request.price_region, request.market, request.price)
    if request.interrupted_every is not None:
        if request.market != "spot":
            raise UserError("--interrupted-every is of a spot market; give --market spot too, or leave it out.")
        if not LEAST_HOURS <= request.interrupted_every <= MOST["tokens"]:
            raise UserError(
                f"--interrupted-every {request.interrupted_every:g} hours is too short or too long to mean "
                "anything; give a minute or more."
            )
    if request.date is not None:
        try:
            datetime.date.fromisoformat(request.date)
        except ValueError:
            raise UserError(f"date {request.date!r} is not a date; write it as 2025-01-31.") from None


def _check_adapters(request: TrainingRequest, adapters: Adapters) -> None:
    """Raises UserError on what does not go with adapters."""
    adapters.check()
    if request.optimizer == "muon":
        raise UserError("--optimizer muon trains whole matrices; with --lora give adamw or adam8bit.")
    other = [name for name in ("sft_tokens", "rl", "post_hours") if getattr(request, name)]
    if other:
        flag = other[0].replace("_", "-")
        raise UserError(f"--lora is tuning by itself, of --tokens; leave out --{flag}, or plan it without --lora.")


def recipe_of(arch: Architecture, request: TrainingRequest) -> dict[str, Any]:
    """How a model's makers trained it; nothing of it holds where adapters are tuned."""
    return {} if request.lora else recipes().get(arch.name, {})


def tuned(arch: Architecture, request: TrainingRequest) -> Architecture:
    """The model as it is trained: adapters are tuned without the modules that predict further tokens."""
    return replace(arch, mtp_modules=0) if request.lora else arch


def default_batch(gpus: int, seq: int, searched: bool) -> int:
    """Sequences a step where nobody says: 4M tokens, more on large machines.

    searched: a power of two, so that the layouts of a smaller machine are among those of a larger one and more chips
    are never slower; else a multiple of the chips, which every layout divides.
    """
    sequences = max(BATCH_TOKENS, BATCH_TOKENS_A_CHIP * gpus) / seq
    if searched:
        return int(2 ** ceil(log2(max(1.0, sequences))))
    return max(1, round(sequences / gpus)) * gpus


def filled_in(
    request: TrainingRequest, arch: Architecture, device: Chip, recipe: dict[str, Any], assumptions: list[str]
) -> TrainingRequest:
    """The request with what was left open taken from the model's recipe, else from defaults, each stated."""
    filled: dict[str, Any] = {}

    def take(name: str, default: Any) -> None:
        if getattr(request, name) is not None or name in filled:
            return
        filled[name] = recipe.get(name, default)
        if name in recipe:
            assumptions.append(said("{name} = {value}, as its makers had it.", name=name, value=filled[name]))
        else:
            assumptions.append(said("{name} = {value} (assumption).", name=name, value=filled[name]))

    take("seq", SEQ)
    seq = request.seq or filled["seq"]
    layout = request.layout
    if layout is None:
        layout = recipe["layout"] if has_layout(recipe, arch, device, request.gpus) else "auto"
    if request.lora:
        take("global_batch", ADAPTER_BATCH * ceil(request.gpus / ADAPTER_BATCH))
        take("precision", "bf16")
    take("global_batch", default_batch(request.gpus, seq, searched=layout == "auto"))
    precision = recipe.get("precision")
    if request.precision is None and precision == "fp8" and not device.fp8_tflops:
        filled["precision"] = default_precision(device)
    else:
        take("precision", default_precision(device))
    if request.layout is None:
        filled["layout"] = layout
        if filled["layout"] == "auto":
            assumptions.append(said("The fastest layout that fits is taken."))
    if request.software_date is None and request.date is not None:
        filled["software_date"] = software_at(request.date)
        assumptions.append(said("Software of {date:date}, when the run starts.", date=filled["software_date"]))
    elif request.software_date is None and filled.get("layout", "auto") != "auto":
        filled["software_date"] = recipe["software_date"]
    if request.extension is None:
        filled["extension"] = tuple(Extension(**stage) for stage in recipe.get("extension", ()))
    if request.post_hours is None:
        predicted = request.sft_tokens or request.rl
        filled["post_hours"] = 0.0 if predicted else float(recipe.get("post_hours", 0.0))
    return replace(request, **filled)


def has_layout(recipe: dict[str, Any], arch: Architecture, device: Chip, gpus: int) -> bool:
    """Whether the makers' layout is known for such chips and exists on so many of them."""
    if not any(device.name.startswith(name) for name in recipe.get("layout_chips", ())):
        return False
    try:
        validate(parse(recipe["layout"], gpus), arch, device)
    except UserError:
        return False
    return True
