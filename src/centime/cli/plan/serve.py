"""`centime plan serve`: what serving a model takes."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import MODEL, AsJson, CardFile, Currency, Html, Lang, Market, PriceRegion, emit
from centime.cli.plan.service import TPOT, TTFT, Engine, Isl, Layout, Osl, PeakToMean, Precision, Tpot, Ttft


def serve(
    model: Annotated[str, typer.Option("--model", help=MODEL)],
    gpu: Annotated[str, typer.Option("--gpu", help="A chip of the catalogue: h800, b200, mi300x, ...")],
    gpus: Annotated[int | None, typer.Option("--gpus", help="GPUs there are at the peak; or give --demand.")] = None,
    demand: Annotated[str | None, typer.Option("--demand", help="608B-in/day,168B-out/day,hit=0.563")] = None,
    isl: Isl[str | None] = None,
    osl: Osl[str | None] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Mean cache length per output token, instead of --isl and --osl.")
    ] = None,
    hit: Annotated[float, typer.Option("--hit", help="Share of prompts in the cache, with --gpus.")] = 0.0,
    ttft: Ttft = TTFT,
    tpot: Tpot = TPOT,
    precision: Precision = None,
    layout: Layout = "auto",
    mtp: Annotated[int, typer.Option("--mtp", help="Tokens drafted each step by multi-token prediction.")] = 0,
    acceptance: Annotated[float, typer.Option("--acceptance", help="Chance that a drafted token stands.")] = 0.85,
    peak_to_mean: PeakToMean = None,
    price: Annotated[str | None, typer.Option("--price", help="Of a GPU-hour: '$2/h'.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="Of price and software: 2025-02-27.")] = None,
    prices: Annotated[
        str | None,
        typer.Option(
            "--prices",
            help="API price list: a name such as deepseek-r1, or hit,miss,output (then EUR, ... if not dollars).",
        ),
    ] = None,
    engine: Engine = "",
    market: Market = "on-demand",
    price_region: PriceRegion = None,
    currency: Currency = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """What serving takes: units, batch, latency, tokens per second, GPUs, $ per million tokens, margin."""
    from centime.plan.serving.planner import plan_serving
    from centime.plan.serving.request import ServingRequest, parse_demand, parse_milliseconds
    from centime.units import parse_count

    asked = ServingRequest(
        model=model,
        gpu=gpu,
        gpus=gpus,
        demand=None if demand is None else parse_demand(demand),
        isl=None if isl is None else parse_count(isl),
        osl=None if osl is None else parse_count(osl),
        context=None if context is None else parse_count(context),
        hit=hit,
        ttft_s=parse_milliseconds(ttft, "--ttft"),
        tpot_s=parse_milliseconds(tpot, "--tpot"),
        precision=precision,
        layout=layout,
        mtp=mtp,
        acceptance=acceptance,
        peak_to_mean=peak_to_mean,
        price=price,
        date=date,
        prices=prices,
        engine=engine,
        market=market,
        price_region=price_region,
        currency=currency,
    )
    emit(plan_serving(asked), as_json=as_json, html=html, lang=lang, card=card)
