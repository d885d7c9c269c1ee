"""A number that nobody knows exactly: its middle, its 10th and 90th percentile, and who says so."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator, model_validator

from centime.errors import UserError
from centime.messages import Said, said
from centime.units import parse_count

MOST = 1e30  # of any quantity: above it no sum of a plan would be finite
PERCENTILES = (10, 50, 90)  # that a number is said by
Z90 = 1.2815515655446004  # the 90th percentile of the standard normal distribution


def stated(source: str) -> Said:
    """The source as a sentence that can be translated; what follows the word "assumption" is translated by itself."""
    if isinstance(source, Said):
        return source
    if source.startswith("assumption"):
        return said("assumption{note}", note=said(source.removeprefix("assumption")))
    return said(source)


class Uncertain(BaseModel):
    """A median with an 80 % interval and a source. In TOML a bare number, a quantity ("608B") or a table of these keys.

    Between the percentiles values follow two half distributions that meet at the median: log-normal where all three
    are above zero (factors, prices, rates), normal and never below zero otherwise. low = mid = high is a fixed number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mid: float = Field(description="median")
    low: float | None = Field(None, description="10th percentile; mid if left out")
    high: float | None = Field(None, description="90th percentile; mid if left out")
    source: str = Field("", description="who says so; without one the number is listed as an assumption")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return value if isinstance(value, dict | cls) else {"mid": value}

    @field_validator("mid", "low", "high", mode="before")
    @classmethod
    def _quantity(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which Python takes for 1 or 0
            raise ValueError(f"expected a number, found {str(value).lower()}")
        try:
            return parse_count(value) if isinstance(value, str) else value
        except UserError as error:
            raise ValueError(str(error)) from None

    @field_validator("source", mode="wrap")
    @classmethod
    def _sentence(cls, value: Any, check: ValidatorFunctionWrapHandler) -> str:
        """A `Said` stays one."""
        text: str = check(value)
        return value if isinstance(value, Said) else text

    @model_validator(mode="after")
    def _ordered(self) -> Uncertain:
        if not all(0 <= v <= MOST for v in self.three):
            raise ValueError(f"low, mid and high are not negative, and at most {MOST:g}")
        if not self.three[0] <= self.mid <= self.three[2]:
            raise ValueError(f"low {self.low} <= mid {self.mid} <= high {self.high} does not hold")
        return self

    @property
    def three(self) -> tuple[float, float, float]:
        """(low, mid, high), with mid where an end is left out."""
        return (
            self.mid if self.low is None else self.low,
            self.mid,
            self.mid if self.high is None else self.high,
        )

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to draw."""
        return self.three[0] == self.three[2]

    def at(self, z: Any) -> Any:
        """The value z standard deviations from the median; z is a number or an array."""
        low, mid, high = self.three
        z = np.asarray(z, dtype=float)
        if low > 0:
            spread = np.where(z < 0, math.log(mid / low), math.log(high / mid))
            return mid * np.exp(z / Z90 * spread)
        return np.maximum(0.0, mid + z / Z90 * np.where(z < 0, mid - low, high - mid))

    def draw(self, draws: int, seed: int, name: str) -> Any:
        """`draws` values [draws]. Each name has a stream of its own: changing one input leaves the others' draws."""
        if self.fixed:
            return np.full(draws, self.mid)
        return self.at(np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(draws))


def three_of(values: Any) -> tuple[float, float, float]:
    """The 10th percentile, the median and the 90th of draws."""
    low, mid, high = (float(v) for v in np.percentile(values, PERCENTILES))
    return low, mid, high
