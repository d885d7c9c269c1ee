"""`centime plan compare`: models, chips or layouts side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Currency, Html, Lang, Market, PriceRegion, emit
from centime.cli.plan.service import ISL, OSL, TPOT, TTFT, Hit, Isl, Osl, Tpot, Ttft


def compare(
    models: Annotated[
        str | None, typer.Option("--models", "--model", help="One, or several: a,b,c; as plan train --model.")
    ] = None,
    chips: Annotated[str | None, typer.Option("--chips", "--gpu", help="One, or several: h800,h100,h20.")] = None,
    layouts: Annotated[
        str, typer.Option("--layouts", "--layout", help="One, or several between semicolons: 'auto;pp=16,ep=64'.")
    ] = "auto",
    gpus: Annotated[int, typer.Option("--gpus", help="Chips that train.")] = 2048,
    tokens: Annotated[str, typer.Option("--tokens", help="Of pre-training: 14.8T.")] = "1T",
    seq: Annotated[int | None, typer.Option("--seq", help="Tokens a sequence.")] = None,
    global_batch: Annotated[int | None, typer.Option("--global-batch", help="Sequences a step.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="Of training.")] = None,
    serve_precision: Annotated[str | None, typer.Option("--serve-precision", help="Of serving.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of a GPU-hour, for one chip: '$2/h'.")] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Of prices, export rules and software; today if left out.")
    ] = None,
    software_date: Annotated[
        str | None, typer.Option("--software-date", help="Of the software, if another: 2025-02.")
    ] = None,
    region: Annotated[str, typer.Option("--region", help="Whose purchase: cn, us or any.")] = "any",
    isl: Isl[str] = ISL,
    osl: Osl[str] = OSL,
    hit: Hit[float] = 0.0,
    ttft: Ttft = TTFT,
    tpot: Tpot = TPOT,
    market: Market = "on-demand",
    price_region: PriceRegion = None,
    currency: Currency = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Models, chips or layouts side by side: training, serving, memory, power, price, and who may buy when."""
    from centime.catalogue.sizes import split_names
    from centime.plan.compare.plan import compare as compared
    from centime.plan.compare.request import CompareRequest
    from centime.plan.serving.request import parse_milliseconds
    from centime.units import parse_count

    def several(text: str | None, between: str = ",") -> tuple[str, ...]:
        return tuple(part.strip() for part in (text or "").split(between) if part.strip())

    request = CompareRequest(
        models=tuple(split_names(models or "")),
        chips=several(chips),
        layouts=several(layouts, ";"),
        gpus=gpus,
        tokens=parse_count(tokens),
        seq=seq,
        global_batch=global_batch,
        precision=precision,
        serve_precision=serve_precision,
        price=price,
        date=date,
        software_date=software_date,
        region=region,
        isl=parse_count(isl),
        osl=parse_count(osl),
        hit=hit,
        ttft_s=parse_milliseconds(ttft, "--ttft"),
        tpot_s=parse_milliseconds(tpot, "--tpot"),
        market=market,
        price_region=price_region,
        currency=currency,
    )
    emit(compared(request), as_json=as_json, html=html, lang=lang, card=card)
