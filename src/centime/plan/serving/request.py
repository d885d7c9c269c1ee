"""What `centime plan serve` is asked: model, chips, demand or fleet, lengths, limits, layout."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from centime.catalogue.chips import Chip
from centime.catalogue.hourly_prices import ON_DEMAND, check_area, check_market
from centime.catalogue.prices import day
from centime.errors import UserError, nearest
from centime.messages import said
from centime.plan.serving.units import Unit
from centime.units import parse_count

ENGINES = ("vllm", "sglang", "trt")
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "d": 86400.0, "week": 604800.0, "month": 2629800.0}


MOST_GPUS = 10**7  # more than there are of any kind
SHORTEST, LONGEST = 1e-6, 1e9  # tokens of a request, and seconds of a limit, outside of which nothing is meant
MOST_A_DAY = 1e20  # tokens


@dataclass(frozen=True)
class Demand:
    """Tokens a day: prompts (cache hits included), answers, and the share of prompts found in the cache.

    Raises UserError on what is no such quantity, or more than all the world's.
    """

    input_per_day: float
    output_per_day: float
    hit: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.input_per_day <= MOST_A_DAY and 0 < self.output_per_day <= MOST_A_DAY):
            raise UserError(
                f"--demand {self.text()}: tokens in and out are above zero, and at most {MOST_A_DAY:g} a day."
            )
        if not 0 <= self.hit < 1:
            raise UserError(f"--demand {self.text()}: hit is a share of at least 0 and below 1.")

    def text(self) -> str:
        """As the command line takes it."""
        return f"{self.input_per_day:g}-in/day,{self.output_per_day:g}-out/day,hit={self.hit:g}"


@dataclass(frozen=True)
class ServingRequest:
    """All inputs; None is the default that `plan_serving` writes down as an assumption."""

    model: str
    gpu: str
    gpus: int | None = None
    demand: Demand | None = None
    isl: float | None = None  # prompt tokens
    osl: float | None = None  # answer tokens
    context: float | None = None  # mean cache length per output token: isl + osl / 2
    ttft_s: float = 5.0  # 99th percentile
    tpot_s: float = 0.05  # mean
    hit: float = 0.0
    precision: str | None = None
    layout: str = "auto"
    mtp: int = 0  # tokens drafted a step
    acceptance: float = 0.85  # of each drafted token (V3 report, section 5.4.3: 85 to 90 %)
    peak_to_mean: float | None = None
    price: str | None = None  # of a GPU-hour, as '$2/h'
    date: str | None = None  # of price and software
    prices: str | None = None  # API price list
    engine: str = ""
    price_region: str | None = None  # the part of the world that they are rented in; None: any
    market: str = ON_DEMAND  # how the chips are rented: on-demand, reserved or spot
    currency: str | None = None  # of the money, converted where the price is in another

    def __post_init__(self) -> None:
        if (self.gpus is None) == (self.demand is None):
            raise UserError("give either --gpus N or --demand 608B-in/day,168B-out/day,hit=0.563; one of the two.")
        if self.gpus is not None and not 1 <= self.gpus <= MOST_GPUS:
            raise UserError(f"--gpus {self.gpus} is not a number of GPUs; give 1 to {MOST_GPUS:,}.")
        quantities = {"isl": self.isl, "osl": self.osl, "context": self.context}
        require_service(self.hit, quantities | {"ttft": self.ttft_s, "tpot": self.tpot_s})
        if self.context is not None and (self.demand is None or self.isl or self.osl):
            raise UserError(
                "--context gives the lengths by the ratio of input to output in --demand; with --gpus, or beside --isl "
                "or --osl, leave it out and give --isl and --osl."
            )
        check_market(self.market)
        check_area(self.price_region, self.market, self.price)
        if self.date:
            day(self.date)
        if self.engine not in ("", *ENGINES):
            raise UserError(
                f"--engine {self.engine!r} is none of {', '.join(ENGINES)}; leave it out for any other."
                f"{nearest(self.engine, ENGINES)}"
            )
        if self.peak_to_mean is not None and not 1 <= self.peak_to_mean < math.inf:
            raise UserError(f"--peak-to-mean {self.peak_to_mean:g} is below 1; the peak is at least the mean.")
        if not 0 <= self.mtp <= 8 or not 0 < self.acceptance <= 1:
            raise UserError(f"--mtp {self.mtp}, acceptance {self.acceptance:g}: 0 to 8 drafts, each above 0 up to 1.")


def check_engine(engine: str, kind: Chip) -> None:
    """Raises UserError on an engine that does not run on such chips."""
    if engine == "trt" and kind.vendor.lower() != "nvidia":
        raise UserError(
            said(
                "{chip}: TensorRT-LLM (trt) runs on NVIDIA's chips alone; name another engine, or none.", chip=kind.name
            )
        )


def require_service(hit: float, quantities: Mapping[str, float | None]) -> None:
    """The share of prompts found in the cache, tokens of a request and seconds of a limit by their options' names.

    Raises UserError on what nothing can be computed with.
    """
    for name, value in quantities.items():
        if value is not None and not SHORTEST <= value < math.inf:
            raise UserError(f"--{name} {value:g} is not above zero, or too little to mean anything.")
        if value is not None and value > LONGEST:
            raise UserError(f"--{name} {value:g} is more than any model takes; give at most {LONGEST:,.0f}.")
    if not 0 <= hit < 1:
        raise UserError(f"hit={hit:g} is not a share of at least 0 and below 1.")


def parse_demand(text: str) -> Demand:
    """'608B-in/day,168B-out/day,hit=0.563' -> Demand; the time may be s, min, h, day, week or month.

    Raises UserError naming the part that is no quantity, has no unit, or is missing.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        rate = re.fullmatch(r"\s*([^\s/]+?)\s*-?\s*(in|out)\s*/\s*(\w+)\s*", part)
        share = re.fullmatch(r"\s*hit\s*=\s*([\d.]+)\s*(%?)\s*", part)
        if rate and rate[3] in SECONDS:
            found[rate[2]] = parse_count(rate[1]) * SECONDS["day"] / SECONDS[rate[3]]
        elif share:
            found["hit"] = float(share[1]) / (100 if share[2] else 1)
        else:
            raise UserError(
                f"{part.strip()!r} in --demand is not understood; write tokens per time and, if any, the share of "
                "cache hits: 608B-in/day,168B-out/day,hit=0.563."
            )
    if "in" not in found or "out" not in found:
        missing = "-in" if "in" not in found else "-out"
        raise UserError(f"--demand {text!r} has no {missing} part; write both, such as 608B-in/day,168B-out/day.")
    return Demand(found["in"], found["out"], found.get("hit", 0.0))


def parse_milliseconds(text: str, flag: str) -> float:
    """'47ms', '0.5s' or '5s' -> seconds. Raises UserError without a unit: 50 could be either."""
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(ms|s)\s*", text)
    if not match:
        raise UserError(f"{flag} {text!r} is not a time; write a number and ms or s, such as 50ms or 2s.")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def parse_units(text: str, mixture: bool) -> dict[str, Unit]:
    """'prefill=ep32,decode=ep144', 'mixed=tp8' or 'tp8' -> units by what they do ('prefill', 'decode', 'mixed').

    A unit is written as its degrees, 'tp4', 'tp4dp8', 'ep32' (attention data-parallel over the same 32 chips).
    Raises UserError for anything else.
    """
    found: dict[str, Unit] = {}
    for part in text.lower().replace(" ", "").split(","):
        role, _, degrees = part.rpartition("=")
        role = role or "mixed"
        if role not in ("prefill", "decode", "mixed"):
            raise UserError(f"--layout: {role!r} is no kind of unit; write prefill=..., decode=... or mixed=...")
        found[role] = _unit(degrees, mixture)
    if "mixed" in found and len(found) > 1:
        raise UserError("--layout: mixed units do both; give mixed=... alone, or prefill=... and decode=...")
    if "mixed" not in found and set(found) != {"prefill", "decode"}:
        raise UserError("--layout: prefill=... and decode=... go together, such as prefill=ep32,decode=ep144.")
    return found


def _unit(text: str, mixture: bool) -> Unit:
    if not re.fullmatch(r"(?:(?:tp|dp|ep|pp)\d+)+", text):
        raise UserError(f"--layout: {text!r} is not a unit; write degrees such as tp8, tp4dp8 or ep32.")
    degrees = {name: int(value) for name, value in re.findall(r"(tp|dp|ep|pp)(\d+)", text)}
    if min(degrees.values()) < 1:
        raise UserError(f"--layout: {text!r} has a degree of nought; degrees are 1 or more.")
    if "ep" in degrees and not mixture:
        raise UserError(f"--layout: {text!r} asks for expert parallelism, and the model has no experts.")
    tp, pp, ep = degrees.get("tp", 1), degrees.get("pp", 1), degrees.get("ep", 1)
    dp = degrees.get("dp", max(1, ep // tp))
    if mixture and (tp * dp) % ep:
        raise UserError(f"--layout: {text!r}: ep {ep} does not divide tp x dp = {tp * dp}.")
    return wide(Unit(tp, dp, pp, ep, tp * dp // ep if mixture else 1))


def wide(unit: Unit) -> Unit:
    """The unit with what wide expert parallelism brings: 32 redundant experts and two micro-batches (D6)."""
    if unit.ep < 16 or unit.dp < 16:
        return unit
    return Unit(unit.tp, unit.dp, unit.pp, unit.ep, unit.moe_tp, 32 if unit.ep >= 32 else 0, True)
