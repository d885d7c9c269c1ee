"""The plan of `plan serve`: what its units do at their working load, and all of it as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from centime.catalogue.api_prices import PriceList
from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip
from centime.catalogue.prices import Price
from centime.messages import Said, said
from centime.plan.counts.architecture import count_architecture
from centime.plan.serving.arrivals import Simulated
from centime.plan.serving.choice import Choice, Decode, Lengths, Mixed, burden
from centime.plan.serving.engine import prefilling
from centime.plan.serving.money import RentedFleet, ServingMoney, rented
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.serving.roofline import Load, StepTime
from centime.plan.serving.units import Unit
from centime.units import SECONDS_PER_DAY

PEAK_TO_MEAN = 278 / 226.75  # nodes serving DeepSeek's V3 and R1 on 2025-02-27 (open-infra-index, day 6)
SHOWN = 10  # layouts of a table
LITTLE, ALIKE = 1.1, 1.0005  # times: below the first a difference is told as a share, below the second as none
PARTS = {  # of a step, as StepTime names them
    "matrices": "matrices",
    "attention": "attention",
    "experts": "experts",
    "exposed_communication": "exposed communication",
    "launch": "launches",
    "host": "host",
}


@dataclass(frozen=True)
class MakersLayout:
    """What a demand takes on the units that a model's makers serve it with: GPUs at the mean load, and money a day."""

    layout: str
    gpus_mean: float
    cost_per_day: float
    source: str


@dataclass(frozen=True)
class Considered:
    """A choice of units as closed forms rate it, before arrivals are simulated. per_gpu: output tokens/s of a GPU,
    those that prefill, or that whole units leave idle, counted."""

    layout: str
    gpus_per_unit: int
    tpot_s: float
    per_gpu: float


def considered(ordered: Sequence[Choice], lengths: Lengths, gpus: int | None) -> tuple[Considered, ...]:
    """The first choices of an order, cheapest first. gpus: that there are."""
    return tuple(
        Considered(layout_of(one), chips_of(one), decoder(one).state.tpot_s, lengths.osl / burden(one, lengths, gpus))
        for one in ordered[:SHOWN]
    )


def slower(times: float) -> Said:
    """How far a layout is behind the best: as a share where that is little."""
    if times < LITTLE:
        return said("{less:.1%} slower", less=1 - 1 / times) if times > ALIKE else said("as fast")
    return said("{times:.2f} times slower", times=times)


def decoder(choice: Choice) -> Decode:
    """The units that decode, or do both."""
    return choice if isinstance(choice, Mixed) else choice.decode


def layout_of(choice: Choice) -> str:
    """'TP8', or 'EP32/DP32 + EP144/DP144' of units that prefill and units that decode."""
    if isinstance(choice, Mixed):
        return choice.engine.unit.text()
    return f"{choice.prefill.engine.unit.text()} + {choice.decode.engine.unit.text()}"


def chips_of(choice: Choice) -> int:
    """GPUs of one unit of each kind."""
    own = decoder(choice).engine.unit.chips
    return own if isinstance(choice, Mixed) else own + choice.prefill.engine.unit.chips


@dataclass(frozen=True)
class ServingPlan:
    """What serving a demand takes: the units chosen, their GPUs at the mean and at the peak, latency, money."""

    verb: ClassVar[str] = "serve"
    request: ServingRequest
    arch: Architecture
    chip: Chip
    lengths: Lengths
    demand: Demand  # asked for, or what the GPUs given can serve
    choice: Choice
    prefill_gpus: float  # at the mean load; all of them for a mixed unit
    decode_gpus: float
    price: Price
    prices: PriceList | None
    money: ServingMoney
    low_factor: float  # the 80 % interval of throughput: from low_factor to high_factor times the figure
    high_factor: float
    simulated: dict[str, Simulated]
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    makers: MakersLayout | None = None  # where the layout was found, and the makers' own is known
    considered: tuple[Considered, ...] = ()  # the best before the simulation, the chosen one among them

    @property
    def gpus_mean(self) -> float:
        """GPUs that serve at the mean load, units not rounded."""
        return self.prefill_gpus + self.decode_gpus

    @property
    def gpus_peak(self) -> int:
        """GPUs at the peak, in whole units."""
        return busy_gpus(self.request, self.choice, self.prefill_gpus, self.decode_gpus)

    @property
    def fleet(self) -> RentedFleet:
        """The GPUs that were given, or those of the peak, rented around the clock."""
        return rented(self.request.gpus or self.gpus_peak, self.gpus_mean, self.demand.output_per_day, self.price)

    @property
    def input_rate(self) -> float:
        """Prompt tokens a second and GPU of the chips that prefill (of all, where units do both)."""
        return self.demand.input_per_day / SECONDS_PER_DAY / (self.prefill_gpus or self.decode_gpus)

    @property
    def output_rate(self) -> float:
        """Output tokens a second and GPU of the chips that decode."""
        return self.demand.output_per_day / SECONDS_PER_DAY / self.decode_gpus

    def inputs(self) -> dict[str, Any]:
        """The request with every default that may change written out."""
        found = dataclasses.asdict(self.request)
        found["date"] = self.request.date or datetime.date.today().isoformat()  # the software is of that day too
        found["price"] = f"{self.price.per_device_hour:.15g} {self.price.currency}/h"
        return found

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan-serving.md."""
        money, fleet = self.money, self.fleet
        return {
            "model": self.request.model,
            "parameters": count_architecture(self.arch).said(),
            "gpu": self.chip.name,
            "isl": self.lengths.isl,
            "osl": self.lengths.osl,
            "hit": self.lengths.hit,
            "input_tokens_per_day": self.demand.input_per_day,
            "output_tokens_per_day": self.demand.output_per_day,
            "units": units(self),
            "breakdown_s": {name: parts(step) for name, step in steps(self).items()},
            "ttft_s": percentiles(self, "ttft"),
            "tpot_s": percentiles(self, "tpot"),
            "gpus_mean": self.gpus_mean,
            "gpus_peak": self.gpus_peak,
            "peak_to_mean": peak_to_mean(self.request),
            "gpu_hour": self.price.per_device_hour,
            "currency": self.price.currency,
            "price_date": self.price.date,
            "cost_per_day": money.cost_per_day,
            "per_million": {"hit": money.hit_per_m, "miss": money.miss_per_m, "output": money.output_per_m},
            "cost_per_million_output_all_in": money.all_in_per_m_output,
            "fleet": dataclasses.asdict(fleet)
            | {"cost_per_month": fleet.cost_per_month, "cost_per_year": fleet.cost_per_year},
            "revenue_usd_per_day": money.revenue_per_day,
            "margin": money.margin,
            "layouts": [self._considered(one) for one in self.considered],
            "makers_layout": dataclasses.asdict(self.makers) if self.makers else None,
            "price_list": self.prices.name if self.prices else None,
            "interval": {"low": self.gpus_mean / self.high_factor, "high": self.gpus_mean / self.low_factor},
            "assumptions": list(self.assumptions),
            "sources": list(self.sources),
        }

    def _considered(self, one: Considered) -> dict[str, Any]:
        ends = {"low": one.per_gpu * self.low_factor, "high": one.per_gpu * self.high_factor}
        return dataclasses.asdict(one) | ends | {"chosen": one.layout == layout_of(self.choice)}


def peak_to_mean(request: ServingRequest) -> float:
    """The load of the busiest time over the mean, as asked for or as DeepSeek's nodes had it."""
    return request.peak_to_mean or PEAK_TO_MEAN


def busy_gpus(request: ServingRequest, choice: Choice, prefill_gpus: float, decode_gpus: float) -> int:
    """GPUs of whole units at the peak."""
    ratio = peak_to_mean(request)
    if isinstance(choice, Mixed):
        return _whole(decode_gpus * ratio, choice.engine.unit)
    prefill = _whole(prefill_gpus * ratio, choice.prefill.engine.unit)
    return prefill + _whole(decode_gpus * ratio, choice.decode.engine.unit)


def _whole(gpus: float, unit: Unit) -> int:
    """GPUs rounded up to whole units, at least one."""
    return max(1, math.ceil(gpus / unit.chips - 1e-9)) * unit.chips


def parts(step: StepTime) -> dict[str, float]:
    """Seconds of a step by part; they add up to its total."""
    return {name: getattr(step, name) for name in PARTS}


def steps(plan: ServingPlan) -> dict[str, StepTime]:
    """A step of each unit at its working load."""
    lengths, choice = plan.lengths, plan.choice
    new = lengths.isl * (1 - lengths.hit)
    context = lengths.isl + lengths.osl / 2
    if isinstance(choice, Mixed):
        fresh = choice.state.batch * choice.engine.tokens_per_step / lengths.osl * new
        load = Load(choice.state.batch, context, fresh, new, lengths.isl * lengths.hit, 1.0 + choice.engine.drafted)
        return {"mixed": choice.engine.step(load)}
    engine = choice.prefill.engine
    tokens = choice.prefill.tokens_per_step * engine.unit.dp
    decode = choice.decode.engine
    return {
        "prefill": engine.step(Load(prefill=tokens, prompt=new, cached=lengths.isl * lengths.hit)),
        "decode": decode.step(Load(choice.decode.state.batch, context, queries=1.0 + decode.drafted)),
    }


def units(plan: ServingPlan) -> dict[str, dict[str, Any]]:
    """Each kind of unit: layout, chips, batch, step, rates."""
    choice, lengths = plan.choice, plan.lengths
    if isinstance(choice, Mixed):
        state = choice.state
        return {
            "mixed": {
                "unit": choice.engine.unit.text(),
                "gpus_per_unit": choice.engine.unit.chips,
                "gpus_mean": plan.decode_gpus,
                "batch": state.batch,
                "batch_per_gpu": state.batch / choice.engine.unit.chips,
                "tpot_s": state.tpot_s,
                "input_tokens_per_s_per_gpu": choice.tokens_per_s_per_gpu * lengths.isl / lengths.osl,
                "output_tokens_per_s_per_gpu": choice.tokens_per_s_per_gpu,
            }
        }
    prefill, decode = choice.prefill, choice.decode
    return {
        "prefill": {
            "unit": prefill.engine.unit.text(),
            "gpus_per_unit": prefill.engine.unit.chips,
            "gpus_mean": plan.prefill_gpus,
            "tokens_per_step_per_group": prefill.tokens_per_step,
            "step_s": prefilling(prefill.engine, lengths.isl, prefill.tokens_per_step, lengths.hit),
            "utilisation": prefill.utilisation,
            "input_tokens_per_s_per_gpu": prefill.tokens_per_s_per_gpu,
        },
        "decode": {
            "unit": decode.engine.unit.text(),
            "gpus_per_unit": decode.engine.unit.chips,
            "gpus_mean": plan.decode_gpus,
            "batch": decode.state.batch,
            "batch_per_gpu": decode.state.batch / decode.engine.unit.chips,
            "tpot_s": decode.state.tpot_s,
            "output_tokens_per_s_per_gpu": decode.tokens_per_s_per_gpu,
        },
    }


def percentiles(plan: ServingPlan, which: str) -> dict[str, float]:
    """p50, p90, p99 of 'ttft' or 'tpot', in seconds, of the units that decide it."""
    key = "mixed" if "mixed" in plan.simulated else {"ttft": "prefill", "tpot": "decode"}[which]
    found = getattr(plan.simulated[key], which)
    return {"p50": found.p50, "p90": found.p90, "p99": found.p99}
