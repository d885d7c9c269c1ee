"""`centime plan lifetime`: training and inference over a model's life."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Currency, Html, Lang, emit
from centime.cli.plan.service import ISL, OSL, TPOT, TTFT, Hit, Isl, Osl, Tpot, Ttft


def lifetime(
    quality_of: Annotated[str, typer.Option("--quality-of", help="The model whose predicted loss is the bar.")],
    served_tokens: Annotated[str, typer.Option("--served-tokens", help="Over the life, in and out: 100T.")],
    quality_tokens: Annotated[
        str | None, typer.Option("--quality-tokens", help="That the bar was trained on; known for the examples.")
    ] = None,
    max_tokens: Annotated[
        str | None, typer.Option("--max-tokens", help="The most tokens that there are to train on: 30T.")
    ] = None,
    gpu: Annotated[str, typer.Option("--gpu", help="The chip that trains.")] = "h800",
    serve_gpu: Annotated[
        str | None, typer.Option("--serve-gpu", help="The chip that serves; the same if left out.")
    ] = None,
    dense: Annotated[bool, typer.Option("--dense", help="Consider dense models only.")] = False,
    moe: Annotated[bool, typer.Option("--moe", help="Consider mixtures of experts only.")] = False,
    precision: Annotated[str | None, typer.Option("--precision", help="Of training: bf16, fp8, mxfp8, nvfp4.")] = None,
    serve_precision: Annotated[
        list[str] | None, typer.Option("--serve-precision", help="Of serving; repeat it for several.")
    ] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of an hour of the chip that trains: '$2/h'.")] = None,
    serve_price: Annotated[
        str | None, typer.Option("--serve-price", help="Of an hour of the chip that serves.")
    ] = None,
    date: Annotated[str | None, typer.Option("--date", help="Of catalogue prices and software: 2025-02-27.")] = None,
    software_date: Annotated[
        str | None, typer.Option("--software-date", help="Of the software, if another: 2025-02.")
    ] = None,
    isl: Isl[str] = ISL,
    osl: Osl[str] = OSL,
    hit: Hit[float] = 0.0,
    ttft: Ttft = TTFT,
    tpot: Tpot = TPOT,
    law: Annotated[str, typer.Option("--law", help="Scaling law: besiroglu, hoffmann or sardana.")] = "besiroglu",
    moe_law: Annotated[str, typer.Option("--moe-law", help="Of mixtures: ling, clark or krajewski.")] = "ling",
    flops: Annotated[bool, typer.Option("--flops", help="Count FLOPs instead of money, as Sardana et al. do.")] = False,
    currency: Currency = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Which size, training and precision cost least over a life of training and serving, and the split between them."""
    from centime.plan.lifetime.planner import plan_lifetime
    from centime.plan.lifetime.request import LifetimeRequest
    from centime.plan.serving.request import parse_milliseconds
    from centime.units import parse_count

    request = LifetimeRequest(
        quality_of=quality_of,
        served_tokens=parse_count(served_tokens),
        gpu=gpu,
        serve_gpu=serve_gpu,
        quality_tokens=None if quality_tokens is None else parse_count(quality_tokens),
        max_tokens=None if max_tokens is None else parse_count(max_tokens),
        family="both" if dense == moe else "dense" if dense else "moe",
        precision=precision,
        precisions=tuple(serve_precision) if serve_precision else None,
        price=price,
        serve_price=serve_price,
        date=date,
        software_date=software_date,
        isl=parse_count(isl),
        osl=parse_count(osl),
        hit=hit,
        ttft_s=parse_milliseconds(ttft, "--ttft"),
        tpot_s=parse_milliseconds(tpot, "--tpot"),
        currency=currency,
        law=law,
        moe=moe_law,
        mode="flops" if flops else "money",
    )
    emit(plan_lifetime(request), as_json=as_json, html=html, lang=lang, card=card)
