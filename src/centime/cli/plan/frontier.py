"""`centime plan frontier`: speed for a user against tokens of a chip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit
from centime.cli.plan.service import ISL, OSL, TPOT, TTFT, Hit, Isl, Osl, Tpot, Ttft


def frontier(
    model: Annotated[str, typer.Option("--model", help="A model of the catalogue, or a folder with config.json.")],
    chips: Annotated[str, typer.Option("--chips", "--gpu", help="One, or several: h200,b200,mi300x.")],
    engines: Annotated[str, typer.Option("--engines", help="One, or several: vllm,sglang,trt; else any.")] = "any",
    precisions: Annotated[
        str, typer.Option("--precisions", help="One, or several: fp8,fp4; else the chip's usual one.")
    ] = "usual",
    gpus: Annotated[int | None, typer.Option("--gpus", help="The most chips that a unit may take.")] = None,
    isl: Isl[str] = ISL,
    osl: Osl[str] = OSL,
    hit: Hit[float] = 0.0,
    ttft: Ttft = TTFT,
    tpot: Tpot = TPOT,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="Of a GPU-hour: '$2/h' for one chip, 'b200=$5/h' of several; repeat it."),
    ] = None,
    measured: Annotated[
        Path | None, typer.Option("--measured", help="A CSV of measured points, in the columns of docs/plan.md#check.")
    ] = None,
    date: Annotated[str | None, typer.Option("--date", help="Of prices and software: 2026-11-30.")] = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """Many chips on one chart: tokens/s per user against tokens/s per chip and per dollar; layouts, memory, launch."""
    from centime.plan.frontier.planner import plan_frontier
    from centime.plan.frontier.request import FrontierRequest
    from centime.plan.serving.request import parse_milliseconds
    from centime.units import parse_count

    def several(text: str, default: str) -> tuple[str, ...]:
        return tuple("" if part.strip() == default else part.strip() for part in text.split(",") if part.strip())

    request = FrontierRequest(
        model=model,
        chips=several(chips, ""),
        engines=several(engines, "any"),
        precisions=several(precisions, "usual"),
        gpus=gpus,
        isl=parse_count(isl),
        osl=parse_count(osl),
        hit=hit,
        ttft_s=parse_milliseconds(ttft, "--ttft"),
        tpot_s=parse_milliseconds(tpot, "--tpot"),
        prices=tuple(price or ()),
        measured=None if measured is None else str(measured),
        date=date,
    )
    emit(plan_frontier(request), as_json=as_json, html=html, lang=lang, card=card)
