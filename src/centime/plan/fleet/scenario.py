"""A fleet scenario as one typed tree: demand, hardware, supply, power and money, every number with its source."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from centime.errors import UserError
from centime.plan.fleet.demand import FLAT, DayShape
from centime.plan.fleet.uncertain import Uncertain

Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
MONTHS_MOST = 240
MOST_BROKEN = 0.5  # share of GPUs that may be out at once for spares to mean anything
LITTLE = 1e-9
# What a number may be, by its name: least and most; any other is at least 0.
BOUNDS: dict[str, tuple[float, float]] = {
    "tokens_per_day": (LITTLE, math.inf),
    "cache_hit_share": (0.0, 0.999),
    "growth_per_year": (LITTLE, 1e6),
    "growth_fades_per_year": (0.0, 1.0),
    "input_tokens_per_s_per_gpu": (LITTLE, math.inf),
    "output_tokens_per_s_per_gpu": (LITTLE, math.inf),
    "utilisation_limit": (LITTLE, 1.0),
    "headroom": (0.0, 10.0),
    "speed": (LITTLE, math.inf),
    "software_per_year": (LITTLE, 1e3),
    "price_elasticity": (0.0, 10.0),
    "pass_through": (0.0, 1.0),
    "lead_time_months": (0.0, 120.0),
    "scrapped_per_year": (0.0, 0.99),
    "pue": (1.0, 10.0),
    "gpu_hour": (LITTLE, math.inf),
    "price_falls_per_year": (0.0, 0.99),
    "upkeep_per_year": (0.0, 1.0),
}


NOT_MODELLED = "not modelled"  # the source of a default that changes nothing


def exactly(value: float, source: str = NOT_MODELLED) -> Any:
    """A field's default: a fixed number."""
    return Uncertain(mid=value, source=source)


class ScenarioSection(BaseModel):
    """A table of the scenario: unknown keys are refused, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("expected no yes or no")  # which Python takes for 1 or 0
        return value


class Observed(ScenarioSection):
    """A published point of the demand's history; the demand follows these points, then grows from the last one."""

    month: Month = Field(description="YYYY-MM")
    tokens_per_day: Uncertain = Field(description="tokens/day, input and output together")


class DemandSection(ScenarioSection):
    """Tokens asked for, at the start and over time."""

    input_tokens_per_day: Uncertain = Field(description="tokens/day of prompts at the start, cache hits included")
    output_tokens_per_day: Uncertain = Field(description="tokens/day generated at the start")
    cache_hit_share: Uncertain = Field(default=exactly(0.0), description="share of input tokens found in the KV cache")
    growth_per_year: Uncertain = Field(default=exactly(1.0), description="demand over that of a year before")
    growth_kind: Literal["constant-price", "observed"] = Field(
        "constant-price",
        description="constant-price: growth without price changes, the elasticity comes on top; observed: as counted, "
        "with the price falls of the median path already in it",
    )
    growth_fades_per_year: Uncertain = Field(
        default=exactly(0.0), description="share by which the logarithm of the yearly growth shrinks each year"
    )
    observed: list[Observed] = Field(default=[], description="published points of the history, oldest first")
    hourly: list[float] = Field(default=list(FLAT), description="load of each hour of a day, 24 factors of any scale")
    hourly_source: str = Field("", description="where the daily profile comes from")


class ServingSection(ScenarioSection):
    """What serves the tokens."""

    model: str = Field(description="the model served, a name of the catalogue")
    chip: str = Field(description="the chip of the first generation, a name of the catalogue")
    input_tokens_per_s_per_gpu: Uncertain | None = Field(
        None, description="prompt tokens/s per GPU that prefills, hits included; left out: predicted"
    )
    output_tokens_per_s_per_gpu: Uncertain | None = Field(
        None, description="generated tokens/s per GPU that decodes; left out: predicted"
    )
    rates_at: Literal["mean", "peak"] = Field(
        "peak", description="mean: an average over serving node-hours, as predicted; peak: at its limit"
    )
    output_length: int = Field(
        1024, gt=0, description="tokens of an answer, for predicted rates; prompts follow from demand's ratio"
    )
    context: int | None = Field(
        None, gt=0, description="mean cache length per generated token, for predicted rates, instead of output_length"
    )
    tokens_per_s_per_user: float = Field(20.0, ge=1e-3, le=1e6, description="speed a user sees, for predicted rates")
    layout: str = Field("auto", description="units as `centime plan serve --layout` takes them, for predicted rates")
    precision: str | None = Field(None, description="of the weights, for predicted rates; none: the chip's usual")
    software_date: str | None = Field(None, description="of the serving software, for predicted rates; none: the start")
    headroom: Uncertain = Field(
        default=exactly(0.0), description="share of nodes kept above the load while the fleet is not all serving"
    )
    utilisation_limit: Uncertain = Field(
        default=exactly(1.0), description="share of a GPU's rated speed that is planned with"
    )
    night_reuse: bool = Field(False, description="whether nodes that do not serve are used (and paid) by training")
    gpus_per_node: int = Field(8, gt=0, description="GPUs come in multiples of this")


class GenerationSection(ScenarioSection):
    """A later generation of hardware."""

    chip: str = Field(description="a name of the catalogue")
    available: Month = Field(description="first month of orders")
    until: Month | None = Field(None, description="last month of orders; none: open")
    speed: Uncertain | None = Field(
        None, description="tokens/s per GPU over the first generation's; left out: predicted"
    )
    gpu_hour: Uncertain | None = Field(None, description="price of a GPU-hour; left out: the catalogue's")
    capex_per_gpu: Uncertain | None = Field(None, description="all-in purchase per GPU; left out: derived")


class Efficiency(ScenarioSection):
    """What makes a GPU serve more tokens."""

    software_per_year: Uncertain = Field(
        default=exactly(1.0), description="tokens per GPU over those of a year before, by software and models"
    )


class Elasticity(ScenarioSection):
    """How demand answers the price of a token."""

    price_elasticity: Uncertain = Field(
        default=exactly(0.0), description="per cent more tokens per per cent of price fall"
    )
    pass_through: Uncertain = Field(
        default=exactly(1.0), description="share (logarithmic) of a fall in cost that reaches the price"
    )


class Supply(ScenarioSection):
    """What can be had, and when."""

    lead_time_months: Uncertain = Field(default=exactly(0.0), description="from order to service")
    gpus_per_month: Uncertain | None = Field(None, description="most GPUs that can be ordered a month")
    memory_gb_per_month: Uncertain | None = Field(None, description="most HBM that can be had a month, in GB")
    growth_per_year: Uncertain = Field(default=exactly(1.0), description="of both caps, over a year before")
    region: Literal["any", "us", "cn"] = Field("any", description="where the chips go: export rules by date")


class Failures(ScenarioSection):
    """What breaks."""

    failures_per_gpu_year: Uncertain = Field(default=exactly(0.0), description="failures that take a GPU out")
    repair_days: Uncertain = Field(default=exactly(0.0), description="until it, or its replacement, serves again")
    scrapped_per_year: Uncertain = Field(default=exactly(0.0), description="share of GPUs lost for good each year")


class Power(ScenarioSection):
    """Electricity."""

    it_kw_per_gpu: Uncertain | None = Field(
        None, description="kW per GPU with its share of server and network; none: catalogue"
    )
    pue: Uncertain = Field(default=exactly(1.1, "assumption"), description="facility power over IT power")
    usd_per_kwh: Uncertain = Field(default=exactly(0.08, "assumption"), description="price of electricity, per kWh")


class MoneySection(ScenarioSection):
    """Rent or own."""

    mode: Literal["rent", "own"] = Field("rent", description="rent: by the GPU-hour; own: capex, power and upkeep")
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="ISO 4217, of every price here")
    price_date: str = Field(description="date of the prices, YYYY-MM or YYYY-MM-DD")
    gpu_hour: Uncertain | None = Field(None, description="price of a GPU-hour at the start; left out: the catalogue's")
    price_falls_per_year: Uncertain = Field(
        default=exactly(0.0), description="share by which GPU-hours (and chips) get cheaper a year"
    )
    capex_per_gpu: Uncertain | None = Field(None, description="all-in purchase per GPU; left out: derived")
    life_years: float = Field(5.0, gt=0, description="owned GPUs retire after this")
    upkeep_per_year: Uncertain = Field(
        default=exactly(0.03, "assumption"), description="staff, spares and repairs a year, as a share of capex"
    )


class FleetScenario(ScenarioSection):
    """The whole of a fleet scenario."""

    name: str = Field(description="short name")
    description: str = Field("", description="one sentence")
    start: Month = Field(description="first month, YYYY-MM")
    months: int = Field(60, ge=1, le=MONTHS_MOST, description="months to plan")
    start_gpus: Uncertain | None = Field(None, description="GPUs in service at the start; none: what demand needs")
    demand: DemandSection
    serving: ServingSection
    efficiency: Efficiency = Efficiency()
    generations: list[GenerationSection] = []
    elasticity: Elasticity = Elasticity()
    supply: Supply = Supply()
    failures: Failures = Failures()
    power: Power = Power()
    money: MoneySection

    @model_validator(mode="after")
    def _shares(self) -> FleetScenario:
        for path, value in self.numbers().items():
            low, _, high = value.three
            least, most = BOUNDS.get(path.rpartition(".")[2], (0.0, math.inf))
            if low < least or high > most:
                above = "above 0" if least == LITTLE else f"at least {least:g}"
                limits = above if math.isinf(most) else f"{above} and at most {most:g}"
                raise ValueError(f"{path} must be {limits}; found {low if low < least else high:g}")
        if not self.demand.input_tokens_per_day.mid + self.demand.output_tokens_per_day.mid > 0:
            raise ValueError("demand has no tokens; give input_tokens_per_day or output_tokens_per_day")
        broken = self.failures.failures_per_gpu_year.three[2] * self.failures.repair_days.three[2] / 365
        if broken > MOST_BROKEN:
            raise ValueError(
                f"failures_per_gpu_year x repair_days keep {broken:.0%} of the GPUs out; at most {MOST_BROKEN:.0%}"
            )
        months = [point.month for point in self.demand.observed]
        if months != sorted(set(months)):
            raise ValueError("demand.observed has its months in order, each once")
        try:
            DayShape(tuple(self.demand.hourly), self.serving.headroom.mid)
        except UserError as error:
            raise ValueError(f"demand.hourly: {error}".rstrip(".")) from None
        return self

    def number(self, path: str) -> Uncertain | None:
        """The uncertain number at 'section.key', None where the scenario leaves it out."""
        node: Any = self
        for part in path.split("."):
            node = getattr(node, part)
        return node if isinstance(node, Uncertain) else None

    def numbers(self) -> dict[str, Uncertain]:
        """Every uncertain number by its path: 'demand.growth_per_year', 'generations.0.speed'."""
        found: dict[str, Uncertain] = {}

        def walk(node: Any, path: str) -> None:
            if isinstance(node, Uncertain):
                found[path] = node
            elif isinstance(node, BaseModel):
                for key in type(node).model_fields:
                    walk(getattr(node, key), f"{path}.{key}" if path else key)
            elif isinstance(node, list):
                for index, item in enumerate(node):
                    walk(item, f"{path}.{index}")

        walk(self, "")
        return found

    def month(self, index: int) -> str:
        """'YYYY-MM' of the month `index` (0 is the first)."""
        year, month = divmod(int(self.start[:4]) * 12 + int(self.start[5:]) - 1 + index, 12)
        return f"{year:04d}-{month + 1:02d}"

    def index(self, month: str) -> int:
        """Months from the start to 'YYYY-MM'; negative before it."""
        return (int(month[:4]) - int(self.start[:4])) * 12 + int(month[5:7]) - int(self.start[5:7])
