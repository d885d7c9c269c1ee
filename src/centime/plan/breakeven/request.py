"""What `centime plan breakeven` is asked: a model on chips of one's own, the APIs it competes with, and the load."""

from __future__ import annotations

import math
from dataclasses import dataclass

from centime.catalogue.prices import day
from centime.errors import UserError
from centime.plan.serving.plan import PEAK_TO_MEAN
from centime.plan.serving.request import MOST_A_DAY, ServingRequest

DEFAULT_ISL, DEFAULT_OSL = 4096.0, 1024.0
MOST_STAFF = 1e12  # a month, in any currency


@dataclass(frozen=True)
class TypicalLoad:
    """Mean tokens of a prompt and an answer, the share of prompts in the cache, the peak over the mean."""

    isl: float
    osl: float
    hit: float
    peak_to_mean: float

    @property
    def tokens(self) -> float:
        """Of a request."""
        return self.isl + self.osl


@dataclass(frozen=True)
class BreakevenRequest:
    """All inputs; a price of None is the catalogue's.

    apis: price lists, as `--prices` of `plan serve` names them. peak_share: of the tokens, in the API's peak hours
    (None: spread evenly over the week). staff: of people, a month, in the price's currency. most: tokens a day up to
    which is looked.
    """

    model: str
    gpu: str
    apis: tuple[str, ...]
    isl: float | None = None
    osl: float | None = None
    hit: float | None = None
    ttft_s: float = 5.0  # 99th percentile
    tpot_s: float = 0.05  # mean
    precision: str | None = None
    layout: str = "auto"
    engine: str = ""
    peak_to_mean: float | None = None
    peak_share: float | None = None
    price: str | None = None  # of a rented GPU-hour
    bought: bool = False
    chip_price: float | None = None  # USD
    power_price: float | None = None  # USD per kWh
    staff: float = 0.0
    staff_currency: str = "USD"
    most: float = 1e13
    date: str | None = None
    trace: str | None = None  # a file of requests, whose lengths, hits and peak are taken

    def __post_init__(self) -> None:
        if self.trace is not None:
            for flag in ("isl", "osl", "hit", "peak_to_mean"):
                if getattr(self, flag) is not None:
                    raise UserError(f"--{flag.replace('_', '-')} is of the trace; leave it out, or leave --trace out.")
        self.serving()  # whose words are checked there
        if not self.apis:
            raise UserError("--api: none is given; name a price list such as deepseek-v3.2, or hit,miss,output.")
        if self.date:
            day(self.date)
        if self.peak_share is not None and not 0 <= self.peak_share <= 1:
            raise UserError(f"--peak-share {self.peak_share:g} is no share; give 0 to 1.")
        if not 0 <= self.staff <= MOST_STAFF:
            raise UserError(
                f"--staff {self.staff:g} is no cost of a month; give an amount from 0 on such as '$20,000'."
            )
        if not self.load.tokens <= self.most <= MOST_A_DAY:
            raise UserError(
                f"--most {self.most:g} is less than a request a day, or above {MOST_A_DAY:g}; give tokens a day."
            )
        if self.bought and self.price is not None:
            raise UserError("--price is of a rented hour; with --buy give --chip-price, or leave --buy out.")
        if not self.bought and (self.chip_price is not None or self.power_price is not None):
            raise UserError("--chip-price and --power-price are of bought chips; give --buy with them.")
        for flag, value in (("--chip-price", self.chip_price), ("--power-price", self.power_price)):
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{flag} is above 0; found {value:g}.")

    @property
    def load(self) -> TypicalLoad:
        """Lengths, hits and peak, with the defaults where none is given."""
        return TypicalLoad(
            DEFAULT_ISL if self.isl is None else self.isl,
            DEFAULT_OSL if self.osl is None else self.osl,
            self.hit or 0.0,
            PEAK_TO_MEAN if self.peak_to_mean is None else self.peak_to_mean,
        )

    def serving(self) -> ServingRequest:
        """The request of `plan serve` for a GPU of it: the same model, lengths and limits."""
        return ServingRequest(
            model=self.model,
            gpu=self.gpu,
            gpus=1,
            isl=self.load.isl,
            osl=self.load.osl,
            hit=self.load.hit,
            ttft_s=self.ttft_s,
            tpot_s=self.tpot_s,
            precision=self.precision,
            layout=self.layout,
            peak_to_mean=self.load.peak_to_mean,
            price=self.price,
            date=self.date,
            engine=self.engine,
        )
