"""Models, chips or layouts side by side: training, serving, memory, power, price, and who may buy the chip when.

One of the three varies, or none; everything else is the same for every column. A column that cannot train or serve says
why, and the others stand.
"""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Any

from centime.catalogue.architecture import Architecture
from centime.catalogue.chips import Chip, chip
from centime.catalogue.currencies.exchange import in_currency
from centime.catalogue.export_rules import BUYERS, Status, sale_windows, status
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.models import architecture
from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.messages import Said, said
from centime.plan.compare.request import CompareRequest, varying
from centime.plan.counts.architecture import count_architecture
from centime.plan.fleet.build_cost import facility_kw
from centime.plan.serving.choice import Lengths, Mixed, cheapest_units
from centime.plan.serving.interval import nearest_measured, spread_of
from centime.plan.serving.money import DAYS_PER_MONTH
from centime.plan.serving.speeds import NEWEST, ServingSoftware, year
from centime.plan.serving.units import as_stored
from centime.plan.step.prediction import software_at
from centime.plan.training.plan import TrainingPlan, plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.typed_inputs import typed

UNPRICED = "0 USD/h"  # for hours without money, where nobody knows a price


@dataclass(frozen=True)
class ServingFigures:
    """What serving a model on a chip takes, per million tokens; low and high: factors on it, of the 80 % interval."""

    precision: str
    gpus_per_unit: int
    input_gpu_hours: float
    output_gpu_hours: float
    output_per_s_per_gpu: float
    low: float
    high: float


@dataclass(frozen=True)
class Column:
    """One of the things compared. training and serving are None where `why_not` says what stands in the way, and there
    is no money where nobody knows a price."""

    name: str
    arch: Architecture
    chip: Chip
    price: Price | None
    training: TrainingPlan | None
    serving: ServingFigures | None
    why_not: tuple[str, ...]
    statuses: dict[str, Status]

    @property
    def cost(self) -> float | None:
        """Of the training, in the price's currency."""
        return self.training.cost if self.training and self.price else None

    def per_million(self, which: str) -> float | None:
        """Price of a million 'input' or 'output' tokens."""
        if self.serving is None or self.price is None:
            return None
        hours = self.serving.input_gpu_hours if which == "input" else self.serving.output_gpu_hours
        return hours * self.price.per_device_hour

    @property
    def kilowatts(self) -> tuple[float, Said] | None:
        """Per chip with its share of server, network and cooling, and where from; None where no power is known."""
        try:
            return facility_kw(self.chip)
        except UserError:
            return None

    @property
    def rent_per_month(self) -> float | None:
        """Of the chips that train, around the clock; a twelfth of a year of 365.25 days."""
        if self.price is None or self.training is None:
            return None
        return self.training.request.gpus * self.price.per_device_hour * 24 * DAYS_PER_MONTH

    @property
    def megawatts(self) -> float | None:
        """Of the chips that train, servers, network and cooling included."""
        power = self.kilowatts
        return self.training.request.gpus * power[0] / 1000 if self.training and power else None

    @property
    def gigawatt_hours(self) -> float | None:
        """Of the training."""
        power = self.kilowatts
        return self.training.gpu_hours * power[0] / 1e6 if self.training and power else None

    def to_json(self, region: str) -> dict[str, Any]:
        """The column as --json prints it; may_buy: whether `region` may."""
        training, serving = self.training, self.serving
        counts = count_architecture(self.arch)
        return {
            "name": self.name,
            "model": self.arch.name,
            "chip": self.chip.name,
            "params": counts.total_params,
            "active_params": counts.active_params,
            "price_per_gpu_hour": self.price.per_device_hour if self.price else None,
            "currency": self.price.currency if self.price else None,
            "price_date": self.price.date if self.price else None,
            "price_kind": self.price.kind if self.price else None,
            "training": _training_json(training) if training else None,
            "training_cost": self.cost,
            "serving": dataclasses.asdict(serving) if serving else None,
            "rent_per_month": self.rent_per_month,
            "rent_per_year": None if self.rent_per_month is None else 12 * self.rent_per_month,
            "input_price_per_million": self.per_million("input"),
            "output_price_per_million": self.per_million("output"),
            "megawatts": self.megawatts,
            "gigawatt_hours": self.gigawatt_hours,
            "export": {buyer: str(found) for buyer, found in self.statuses.items()},
            "export_status": {buyer: found.status for buyer, found in self.statuses.items()},
            "may_buy": self.statuses[region].may_buy,
            "sale_windows_cn": sale_windows(self.chip, "cn"),
            "why_not": [str(reason) for reason in self.why_not],
        }


def _training_json(plan: TrainingPlan) -> dict[str, Any]:
    keys = ("gpu_hours", "days", "step_time_s", "tokens_per_s_per_gpu", "mfu", "precision", "goodput")
    found = plan.to_json()
    low, high = found["interval"]["low"], found["interval"]["high"]
    return {
        **{key: found[key] for key in keys},
        "interval": {"low": low, "high": high, "unit": "gpu_hours", "confidence": 0.8},
        "layout": found["layout"],
        "memory_gib_per_gpu": found["memory_gib_per_gpu"],
    }


@dataclass(frozen=True)
class Comparison:
    """The columns, in the order asked for."""

    request: CompareRequest
    columns: tuple[Column, ...]
    assumptions: tuple[str, ...]

    verb = "compare"

    def to_json(self) -> dict[str, Any]:
        """Keys: docs/plan-economics.md."""
        return {
            "gpus": self.request.gpus,
            "tokens": self.request.tokens,
            "date": self.request.date,
            "region": self.request.region,
            "columns": [column.to_json(self.request.region) for column in self.columns],
            "assumptions": [str(line) for line in self.assumptions],
            "sources": list(dict.fromkeys(c.chip.source for c in self.columns)),
        }

    def inputs(self) -> dict[str, Any]:
        """The request; `from_inputs` takes it back."""
        return dataclasses.asdict(self.request)


def from_inputs(inputs: dict[str, Any]) -> Comparison:
    """The comparison of a card's inputs. Raises UserError on keys and values that are none of a request."""
    return compare(typed(CompareRequest, inputs, "inputs of compare"))


def compare(request: CompareRequest) -> Comparison:
    """Plan every column. Raises UserError for unknown names, and where more than one thing varies."""
    several = varying(request)
    date = datetime.date.today().isoformat() if request.date is None else request.date
    software = request.software_date or software_at(request.date) or NEWEST
    request = dataclasses.replace(request, date=date, software_date=software)
    what = several[0] if several else "chips"
    position = {"models": 0, "chips": 1, "layouts": 2}[what]
    columns = [
        _column(request, (model, device, layout)[position], model, device, layout)
        for model in request.models
        for device in request.chips
        for layout in request.layouts
    ]
    assumptions = dict.fromkeys(line for column in columns if column.training for line in column.training.assumptions)
    notes = (
        said(
            "Training: {tokens:T.3g} T tokens on {gpus:,|chip|chips}; serving: {isl:,.0f} tokens in, {osl:,.0f} out, "
            "first token within {ttft:g} s, then one each {tpot:g} ms",
            tokens=request.tokens, gpus=request.gpus, isl=request.isl, osl=request.osl,
            ttft=request.ttft_s, tpot=1e3 * request.tpot_s,
        ),
    )  # fmt: skip
    assumptions |= dict.fromkeys(
        said("Serving: {reason}", reason=nearest_measured(c.arch.name, c.chip)) for c in columns if c.serving
    )
    if request.serve_precision is None:
        assumptions |= dict.fromkeys(line for column in columns for line in as_stored(column.arch))
    powers = dict.fromkeys(column.kilowatts[1] for column in columns if column.training and column.kilowatts)
    return Comparison(request, tuple(columns), (*notes, *assumptions, *powers))


def _column(request: CompareRequest, name: str, model: str, device: str, layout: str) -> Column:
    arch, which = architecture(model), chip(device)
    reasons: list[str] = []
    assert request.date is not None
    try:
        price: Price | None = in_currency(
            gpu_hour(which, request.date, request.price, request.market, request.price_region), request.currency
        )
    except UserError as error:
        price = None
        reasons.append(error.args[0])
    training = serving = None
    try:
        training = plan_training(
            TrainingRequest(
                model=model,
                tokens=request.tokens,
                gpu=device,
                gpus=request.gpus,
                seq=request.seq,
                global_batch=request.global_batch,
                precision=request.precision,
                layout=layout,
                price=f"{price.per_device_hour:.15g} {price.currency}/h" if price else UNPRICED,
                market=request.market,
                software_date=request.software_date,
                extension=(),
                post_hours=0.0,
            ),
            quick=True,
        )
    except UserError as error:
        reasons.append(said("Training: {reason}", reason=error.args[0]))
    try:
        serving = _serving(request, arch, which)
    except UserError as error:
        reasons.append(said("Serving: {reason}", reason=error.args[0]))
    statuses: dict[str, Status] = {buyer: status(which, request.date, buyer) for buyer in BUYERS}
    label = which.name if name == device else arch.name if name == model else name
    return Column(label, arch, which, price, training, serving, tuple(reasons), statuses)


def _serving(request: CompareRequest, arch: Architecture, which: Chip) -> ServingFigures:
    software = ServingSoftware("", year(request.software_date or NEWEST))
    lengths = Lengths(request.isl, request.osl, request.hit)
    choice = cheapest_units(arch, which, request.serve_precision, lengths, request.ttft_s, request.tpot_s, software)
    if isinstance(choice, Mixed):
        engine, state, speed = choice.engine, choice.state, choice.tokens_per_s_per_gpu
        chips = engine.unit.chips
        whole = choice.gpu_seconds(lengths)
        into, out = whole * state.prefill_share / request.isl, whole * (1 - state.prefill_share) / request.osl
    else:
        engine = choice.decode.engine
        chips = choice.prefill.engine.unit.chips + choice.decode.engine.unit.chips
        speed = choice.decode.tokens_per_s_per_gpu
        into, out = 1 / choice.prefill.tokens_per_s_per_gpu, 1 / speed
    low, high = spread_of(choice, lengths, arch.name)
    return ServingFigures(
        request.serve_precision or engine.form.name,
        chips,
        1e6 * into / 3600,
        1e6 * out / 3600,
        speed,
        1 / high,
        1 / low,
    )
