"""What `centime plan compare` is asked, and which of it varies."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.currencies.exchange import exchange_rate
from centime.catalogue.export_rules import BUYERS
from centime.catalogue.hourly_prices import ON_DEMAND, check_area, check_market
from centime.catalogue.prices import price_given
from centime.errors import UserError
from centime.plan.serving.request import require_service
from centime.plan.serving.units import number_format
from centime.plan.step.layout import parse as parse_layout
from centime.plan.step.prediction import require_precision, software_of


@dataclass(frozen=True)
class CompareRequest:
    """What `centime plan compare` asks. Exactly one of models, chips and layouts may hold several.

    tokens of pre-training; gpus: the chips that train; price: of an hour, for one chip alone; date: of prices and
    export rules (None: today); region: whose purchase is asked about; isl, osl, ttft_s, tpot_s: as `plan serve`;
    market: how chips are rented, on-demand, reserved or spot; price_region: where (None: anywhere);
    currency: of the money, converted where it is another.
    """

    models: tuple[str, ...]
    chips: tuple[str, ...]
    layouts: tuple[str, ...] = ("auto",)
    gpus: int = 2048
    tokens: float = 1e12
    seq: int | None = None
    global_batch: int | None = None
    precision: str | None = None
    serve_precision: str | None = None
    price: str | None = None
    date: str | None = None
    software_date: str | None = None
    region: str = "any"
    isl: float = 4096.0
    osl: float = 1024.0
    hit: float = 0.0
    ttft_s: float = 5.0
    tpot_s: float = 0.05
    market: str = ON_DEMAND
    price_region: str | None = None
    currency: str | None = None


def varying(request: CompareRequest) -> list[str]:
    """What there are several of: one of models, chips and layouts, or none.

    Raises UserError where several vary, and on a word that means nothing in any column: the fault of the question, not
    of a column.
    """
    check_market(request.market)
    check_area(request.price_region, request.market, request.price)
    if request.currency is not None:
        exchange_rate("USD", request.currency)
    several = [name for name in ("models", "chips", "layouts") if len(getattr(request, name)) > 1]
    if len(several) > 1:
        raise UserError(f"{' and '.join(several)} vary at once; compare one of them, the others fixed.")
    for name in ("models", "chips", "layouts"):
        if not getattr(request, name):
            raise UserError(f"{name}: none is given; name at least one.")
    if request.price is not None and len(request.chips) > 1:
        raise UserError("--price is of one chip's hour; leave it out, or compare a single chip.")
    if request.region not in BUYERS:
        raise UserError(f"There is no region {request.region!r}; known: {', '.join(BUYERS)}.")
    if request.precision is not None:
        require_precision(request.precision)
    if request.serve_precision is not None:
        number_format(request.serve_precision, mixture=False)
    if request.price is not None:
        price_given(request.price)
    software_of(request.software_date)
    quantities = {"isl": request.isl, "osl": request.osl, "ttft": request.ttft_s, "tpot": request.tpot_s}
    require_service(request.hit, quantities)
    for text in request.layouts:
        if text != "auto":
            parse_layout(text)
    return several
