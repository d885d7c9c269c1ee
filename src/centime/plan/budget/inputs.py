"""What a budget's answer rests on: every input with its 10th percentile, median and 90th percentile, and who says so.

Money in USD. `levers` resolves a request into these; the tornado and the draws go through all of them alike.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from centime.catalogue.chips import Chip
from centime.catalogue.currencies.exchange import converted, exchange_rate
from centime.catalogue.hourly_prices import gpu_hour, rent_range
from centime.catalogue.prices import aged
from centime.errors import UserError
from centime.messages import Amount, said
from centime.plan.budget.company import Company
from centime.plan.fleet.build_cost import BERNSTEIN, BUILDING_USD_PER_KW, facility_kw, purchase_usd, rest_share
from centime.plan.fleet.uncertain import Uncertain
from centime.units import parse_count, parse_money

MOST_GAIN = 1e6  # times more tokens of a GPU, beyond which nothing is meant
GOOGLE = "M030"  # the largest published number of tokens
PROMPT_PER_OUTPUT = 608 / 168  # input tokens per token generated, DeepSeek's day (M047)
HIT_SHARE = 0.563  # of them found in the cache (M047)
RUN_GPUS = 2048  # of a training run whose makers state no number
CONTEXT = 4989.0  # mean cache length per token generated (open-infra-index, day 6)

# name -> what a person reads
LABELS = {
    "ai_share": "Share of capex for AI",
    "chip_price": "Price of a chip",
    "rest_of_it": "Server, network and storage",
    "building": "Building and power, per kW",
    "kw": "Facility power of a GPU",
    "usd_per_kwh": "Price of electricity",
    "upkeep": "Upkeep a year",
    "availability": "GPUs in working order",
    "train_use": "Hours of training used",
    "serve_use": "Load of serving GPUs",
    "rent_use": "Hours rented out",
    "prefill": "Prefill speed",
    "decode": "Decode speed",
    "software": "Software gains a year",
    "token_revenue": "Price of tokens",
    "token_price_falls": "Fall of token prices a year",
    "rent": "Rent of a GPU-hour",
    "rent_falls": "Fall of rents a year",
    "life_it": "Life of the chips",
    "life_building": "Life of the building",
}


MOST_WRITE_OFF = 50  # years
MOST_USD = 1e15  # ten times the world's yearly product
DIVISORS = {"chip_price", "kw", "prefill", "decode", "serve_use", "life_it", "life_building", "rent"}
SHARES = {
    "ai_share", "availability", "train_use", "serve_use", "rent_use", "token_price_falls", "rent_falls", "upkeep"
}  # fmt: skip


@functools.cache
def table() -> dict[str, Any]:
    """catalogue/budget.toml."""
    return tomllib.loads(files("centime.catalogue").joinpath("budget.toml").read_text("utf-8"))


def training_run(text: str) -> tuple[str, float, int]:
    """'deepseek-v3', a run of budget.toml, or 'qwen3-235b=36T' -> (model, tokens, GPUs). Raises UserError."""
    model, given, amount = text.rpartition("=") if "=" in text else (text, "", "")  # a model may be sizes with a '='
    known = table()["runs"]
    if given:
        try:
            tokens = parse_count(amount)
        except UserError as error:
            raise UserError(f"--train-model {text!r}: {error}") from None
        return model, tokens, known.get(model, {}).get("gpus", RUN_GPUS)
    if model not in known:
        raise UserError(f"--train-model {text!r}: say with how many tokens, as {text}=15T. Known: {', '.join(known)}.")
    return model, parse_count(known[model]["tokens"]), known[model]["gpus"]


def token_revenue() -> Uncertain:
    """USD that a million generated tokens bring with the prompts that come with them (M047's mix), by list prices."""
    ends, texts = {}, {}
    for end, of in table()["token_prices"].items():
        ends[end] = of["output"] + PROMPT_PER_OUTPUT * (HIT_SHARE * of["hit"] + (1 - HIT_SHARE) * of["miss"])
        date = of["date"]
        texts[end] = said("{source}, {date:date}{age}", source=said(of["source"]), date=date, age=aged(date))
    return Uncertain(source=said("DeepSeek's list prices: low {low}; mid {mid}; high {high}", **texts), **ends)


@dataclass(frozen=True)
class BudgetRequest:
    """What is asked. Shares of GPU-hours: `train` + `serve` is at most 1."""

    capex: float  # USD
    chip: str = "gb200"
    years: int = 5
    train: float = 0.3
    serve: float = 0.7
    discount: float = 0.1  # yearly
    of: str | None = None  # an entity of market.csv whose later figures stand beside
    models: tuple[str, ...] = ("deepseek-v3", "llama-405b")  # whose training runs are counted
    serve_model: str = "deepseek-v3"
    chip_price: float | None = None  # USD
    rent: float | None = None  # USD per GPU-hour
    usd_per_kwh: float | None = None
    ramp: float = 0.0  # years over which the fleet comes into use, each part paid as it comes
    tax: float = 0.0  # share of the profits
    write_off: float = 5.0  # years over which chips and all that goes with them are written off for it
    company: Company | None = None  # whose own figures stand beside
    currency: str | None = None  # in which amounts are shown, at a dated rate; None: USD
    efficiency: float | None = None  # times more tokens a GPU, whose GPUs are asked for
    rates: tuple[str, ...] = ()  # sentences: at which exchange rates the amounts were taken
    overrides: dict[str, Uncertain] = field(default_factory=dict)  # by the names of LABELS

    def __post_init__(self) -> None:
        if not 0 < self.capex < math.inf:
            raise UserError(f"--capex is above 0; found {self.capex:g}.")
        if not 1 <= self.years <= 20:
            raise UserError(f"--years {self.years} is not between 1 and 20.")
        if min(self.train, self.serve) < 0 or self.train + self.serve > 1 + 1e-9:
            raise UserError(
                f"--split train={self.train:g},serve={self.serve:g}: shares are at least 0 and add up to at most 1."
            )
        if not -0.5 < self.discount < 2:
            raise UserError(f"--discount {self.discount:g} is a yearly rate such as 0.1.")
        if not 0 <= self.ramp <= self.years:
            raise UserError(f"--ramp {self.ramp:g} is no number of years from 0 to the {self.years} of --years.")
        if not 1 <= self.write_off <= MOST_WRITE_OFF:
            raise UserError(f"--write-off {self.write_off:g} is no number of years from 1 to {MOST_WRITE_OFF}.")
        if not 0 <= self.tax < 1:
            raise UserError(f"--tax {self.tax:g} is a share of the profits from 0 to below 1, such as 0.21.")
        if self.currency is not None:
            exchange_rate("USD", self.currency)
        if self.efficiency is not None and not 1 / MOST_GAIN <= self.efficiency <= MOST_GAIN:
            raise UserError(f"--efficiency {self.efficiency:g} is no factor between 1/{MOST_GAIN:g} and {MOST_GAIN:g}.")
        for name, value in (
            ("--chip-price", self.chip_price),
            ("--price", self.rent),
            ("--power-price", self.usd_per_kwh),
        ):
            if value is not None and not value > 0:
                raise UserError(f"{name} is above 0; found {value:g}.")


def parse_split(text: str) -> tuple[float, float]:
    """'train=0.3,serve=0.7' -> (0.3, 0.7); a kind that is left out is 0. Raises UserError."""
    shares = {"train": 0.0, "serve": 0.0}
    for part in text.split(","):
        name, found, value = part.strip().partition("=")
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if name not in shares or not found or not 0 <= share <= 1:
            raise UserError(f"--split {text!r}: write shares between 0 and 1 as train=0.3,serve=0.7.")
        shares[name] = share
    return shares["train"], shares["serve"]


def in_dollars(text: str, option: str) -> float:
    """'80B$', '80 Md€', '$2/h' -> the number of dollars, at the catalogue's exchange rate where it is another currency.

    Raises UserError on anything else, and on a currency without a rate.
    """
    amount = converted(_amount(text), "USD").value
    if amount > MOST_USD:
        raise UserError(f"{option} {text!r} is beyond any budget; expected at most ${MOST_USD:,.0f}.")
    return amount


def rate_note(text: str) -> str:
    """What an amount in another currency is taken for, and at which exchange rate; empty for dollars."""
    amount = _amount(text)
    if amount.currency == "USD":
        return ""
    return said(
        "{text} are taken for dollars at {rate}.", text=text, rate=exchange_rate(amount.currency, "USD").sentence()
    )


def _amount(text: str) -> Amount:
    return Amount(*parse_money(re.sub(r"\s*/\s*(h|hour|hr|kwh)\s*$", "", text.strip(), flags=re.IGNORECASE)))


def levers(request: BudgetRequest, chip: Chip, prefill: Uncertain, decode: Uncertain) -> dict[str, Uncertain]:
    """Every input by its name in LABELS. prefill, decode: tokens/s per GPU."""
    price = purchase_usd(chip, request.chip_price)
    rest = rest_share(chip, price)
    kw, _ = facility_kw(chip)
    found = {name: Uncertain(**values) for name, values in table().items() if name in LABELS} | {
        "chip_price": Uncertain(
            low=0.85 * price,
            mid=price,
            high=1.2 * price,
            source=said(
                "catalogue: {source}; range assumed (volume discounts, scarcity)",
                source=said(chip.purchase_note or "given"),
            ),
        ),
        "rest_of_it": Uncertain(
            low=0.6 * rest,
            mid=rest,
            high=1.6 * rest,
            source=said("{source}; network of arXiv:2505.09343, table 3; range assumed", source=said(BERNSTEIN)),
        ),
        "building": BUILDING_USD_PER_KW,
        "kw": Uncertain(low=0.9 * kw, mid=kw, high=1.15 * kw, source=said("catalogue, all-in; range assumed")),
        "prefill": prefill,
        "decode": decode,
        "token_revenue": token_revenue(),
        "rent": _rent(request, chip),
    }
    found = {name: found[name] for name in LABELS}
    if request.usd_per_kwh is not None:
        found["usd_per_kwh"] = Uncertain(mid=request.usd_per_kwh, source="the command line")
    if request.chip_price is not None:
        found["chip_price"] = Uncertain(mid=request.chip_price, source="the command line")
    for name, value in request.overrides.items():
        if name not in found:
            raise UserError(f"a budget has no input {name!r}; known: {', '.join(found)}.")
        found[name] = value
    return in_range(found)


def in_range(inputs: dict[str, Uncertain]) -> dict[str, Uncertain]:
    """The inputs. Raises UserError naming one that would be divided by and may be 0, or a share that may exceed 1."""
    for name, value in inputs.items():
        if value.three[0] <= 0 and name in DIVISORS:
            raise UserError(f"{name} is above 0; found {value.three[0]:g}.")
        if value.three[2] > 1 and name in SHARES:
            raise UserError(f"{name} is a share of at most 1; found {value.three[2]:g}.")
    return inputs


def _rent(request: BudgetRequest, chip: Chip) -> Uncertain:
    """The price of a GPU-hour: given, or the catalogue's with what its offers and long contracts span."""
    if request.rent is not None:
        return Uncertain(mid=request.rent, source="the command line")
    price, offers = gpu_hour(chip), rent_range(chip)
    ends = offers or (chip.tco_neocloud_usd_h, chip.rent_3yr_usd_h)
    middle = price.per_device_hour
    low, *_, high = sorted([end for end in ends if end] + [middle, middle * (1 if offers else 1.2)])
    source = said(
        "{source}: {note} ({date:date}{age})",
        source=price.source,
        note=price.note,
        date=price.date,
        age=aged(price.date),
    )
    return Uncertain(low=low, mid=middle, high=high, source=source)
