"""`centime plan breakeven`: one's own fleet against an API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit
from centime.cli.plan.service import TPOT, TTFT, Engine, Layout, PeakToMean, Precision, Tpot, Ttft


def breakeven(
    model: Annotated[str, typer.Option("--model", help="A model of the catalogue, or a folder with config.json.")],
    gpu: Annotated[str, typer.Option("--gpu", help="A chip of the catalogue: h800, b200, mi300x, ...")],
    api: Annotated[
        list[str],
        typer.Option("--api", help="A price list: a name such as deepseek-v3.2, or hit,miss,output; repeat it."),
    ],
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="A file of requests, CSV or JSON lines: docs/plan-breakeven.md#trace."),
    ] = None,
    isl: Annotated[str | None, typer.Option("--isl", help="Mean prompt, in tokens; else 4096.")] = None,
    osl: Annotated[str | None, typer.Option("--osl", help="Mean answer, in tokens; else 1024.")] = None,
    hit: Annotated[
        float | None, typer.Option("--hit", help="Share of prompts in the cache, here and at the API.")
    ] = None,
    ttft: Ttft = TTFT,
    tpot: Tpot = TPOT,
    precision: Precision = None,
    layout: Layout = "auto",
    engine: Engine = "",
    peak_to_mean: PeakToMean = None,
    peak_share: Annotated[
        float | None, typer.Option("--peak-share", help="Share of the tokens in the API's peak hours.")
    ] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of a rented GPU-hour: '$2/h'.")] = None,
    buy: Annotated[bool, typer.Option("--buy", help="The chips are bought, as in plan budget.")] = False,
    chip_price: Annotated[str | None, typer.Option("--chip-price", help="Of a bought chip: '$30000'.")] = None,
    power_price: Annotated[str | None, typer.Option("--power-price", help="Of a kWh: '$0.08'.")] = None,
    staff: Annotated[str | None, typer.Option("--staff", help="Of people, a month: '$20,000'.")] = None,
    most: Annotated[str, typer.Option("--most", help="Tokens a day up to which is looked.")] = "10T",
    date: Annotated[str | None, typer.Option("--date", help="Of prices and software: 2026-11-30.")] = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """From how many tokens a day on one's own fleet, rented or bought, costs less than an API."""
    from centime.plan.breakeven.planner import plan_breakeven
    from centime.plan.breakeven.request import BreakevenRequest
    from centime.plan.budget.inputs import in_dollars
    from centime.plan.serving.request import parse_milliseconds
    from centime.units import parse_count, parse_money

    request = BreakevenRequest(
        model=model,
        gpu=gpu,
        apis=tuple(api),
        isl=None if isl is None else parse_count(isl),
        osl=None if osl is None else parse_count(osl),
        hit=hit,
        ttft_s=parse_milliseconds(ttft, "--ttft"),
        tpot_s=parse_milliseconds(tpot, "--tpot"),
        precision=precision,
        layout=layout,
        engine=engine,
        peak_to_mean=peak_to_mean,
        peak_share=peak_share,
        price=price,
        bought=buy,
        chip_price=None if chip_price is None else in_dollars(chip_price, "--chip-price"),
        power_price=None if power_price is None else in_dollars(power_price, "--power-price"),
        staff=0.0 if staff is None else parse_money(staff)[0],
        staff_currency="USD" if staff is None else parse_money(staff)[1],
        most=parse_count(most),
        date=date,
        trace=None if trace is None else str(trace),
    )
    emit(plan_breakeven(request), as_json=as_json, html=html, lang=lang, card=card)
