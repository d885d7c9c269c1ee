"""What `centime plan frontier` is asked: a model, and the chips, engines and precisions that are put on one chart."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.prices import day, price_given
from centime.errors import UserError
from centime.plan.serving.request import ENGINES, MOST_GPUS, require_service
from centime.plan.serving.units import number_format

MOST_CURVES = 24  # that a chart can hold apart: twice its colours


@dataclass(frozen=True)
class FrontierRequest:
    """All inputs. chips x engines x precisions are the curves; an engine of '' is whatever serves well, a precision of
    '' that of the stored weights, else what the chip usually serves in. gpus: the most that a layout may take.
    prices: of an hour, as "chip=$2/h", or "$2/h" for a single chip.
    """

    model: str
    chips: tuple[str, ...]
    engines: tuple[str, ...] = ("",)
    precisions: tuple[str, ...] = ("",)
    gpus: int | None = None
    isl: float = 4096.0
    osl: float = 1024.0
    hit: float = 0.0
    ttft_s: float = 5.0
    tpot_s: float = 0.05
    prices: tuple[str, ...] = ()
    measured: str | None = None  # a file of published runs
    date: str | None = None

    def __post_init__(self) -> None:
        for name, values in (("--chips", self.chips), ("--engines", self.engines), ("--precisions", self.precisions)):
            if not values:
                raise UserError(f"{name}: none is given; name at least one.")
        quantities = {"isl": self.isl, "osl": self.osl, "ttft": self.ttft_s, "tpot": self.tpot_s}
        require_service(self.hit, quantities)
        for engine in self.engines:
            if engine not in ("", *ENGINES):
                raise UserError(f"--engines: {engine!r} is none of {', '.join(ENGINES)}; leave it out for any other.")
        for precision in self.precisions:
            if precision:
                number_format(precision, mixture=False)
        if self.gpus is not None and not 1 <= self.gpus <= MOST_GPUS:
            raise UserError(f"--gpus {self.gpus} is not a number of GPUs; give 1 to {MOST_GPUS:,}.")
        for text in self.prices:
            name, _, amount = text.rpartition("=")
            price_given(amount)
            if (not name and len(self.chips) > 1) or (name and name not in self.chips):
                raise UserError(
                    f"--price {text!r} is of no chip that is asked about; write it as {self.chips[0]}=$2/h, of "
                    f"{', '.join(self.chips)}."
                )
        if self.date:
            day(self.date)
        curves = len(self.chips) * len(self.engines) * len(self.precisions)
        if curves > MOST_CURVES:
            raise UserError(f"--chips: {curves} curves are asked for; a chart holds at most {MOST_CURVES}.")

    def price_of(self, chip: str) -> str | None:
        """What was given as the price of an hour of the chip, as it was named."""
        given = dict(text.rpartition("=")[::2] for text in self.prices)
        return given.get(chip, given.get(""))
