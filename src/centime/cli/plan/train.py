"""`centime plan train`: what a training run takes."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import MODEL, AsJson, CardFile, Currency, Html, Lang, Market, PriceRegion, emit


def train(
    model: Annotated[str, typer.Option("--model", help=MODEL)],
    tokens: Annotated[
        str | None, typer.Option("--tokens", help="Of pre-training: 14.8T; with --budget: what it buys.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="A chip of the catalogue: h800, h100, ...; with --deadline: the cheapest."),
    ] = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", help="How many: 2048; with --deadline: as many as finish by then.")
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Money there is for it: '$300k'.")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="When it must have ended: 2026-12-31, or 30d from the start.")
    ] = None,
    seq: Annotated[int | None, typer.Option("--seq", help="Tokens a sequence; else the makers', else 4096.")] = None,
    global_batch: Annotated[int | None, typer.Option("--global-batch", help="Sequences a step.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="bf16, fp8, mxfp8, nvfp4, ...")] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="auto, or pp=16,ep=64,schedule=dualpipe,...; else the makers'.")
    ] = None,
    post_hours: Annotated[
        str | None, typer.Option("--post-hours", help="GPU-hours of post-training, an assumed input: 5K.")
    ] = None,
    sft_tokens: Annotated[str | None, typer.Option("--sft-tokens", help="Of supervised tuning, predicted.")] = None,
    rl: Annotated[
        str | None,
        typer.Option("--rl", help="Reinforcement learning, predicted: steps=10400,rollouts=512,prompt=200,answer=8K."),
    ] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of a GPU-hour: '$2/h'.")] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Of the start: 2025-01-31. Prices and software are of then.")
    ] = None,
    region: Annotated[str, typer.Option("--region", help="Who buys: cn, us or any; says what may be bought.")] = "any",
    market: Market = "on-demand",
    price_region: PriceRegion = None,
    interrupted_every: Annotated[
        str | None,
        typer.Option("--interrupted-every", help="Of a spot market: how often chips are taken back: 24h."),
    ] = None,
    currency: Currency = None,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw, adam8bit or muon.")] = "adamw",
    lora: Annotated[
        str | None,
        typer.Option("--lora", help="Tune adapters of this rank: 16, or 64,base=nf4,targets=q_proj+v_proj."),
    ] = None,
    first_run: Annotated[
        bool, typer.Option("--first-run", help="Also show what failed runs, ablations and evaluation come to.")
    ] = False,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """What a training run takes: GPU-hours, days, money, step time, memory; by stage, with intervals."""
    from centime.errors import UserError
    from centime.plan.counts.adapters import parse_adapters
    from centime.plan.training.means import Means
    from centime.plan.training.means_search import afford
    from centime.plan.training.plan import plan_training
    from centime.plan.training.post_training import parse_reinforcement
    from centime.plan.training.request import TrainingRequest, whole
    from centime.units import parse_count, parse_duration

    counted = None if tokens is None else parse_count(tokens)
    chips = None if gpus is None else whole("gpus", parse_count(gpus))
    asked = TrainingRequest(
        model=model,
        tokens=counted or 0.0,
        gpu=gpu or "",
        gpus=chips or 0,
        seq=seq,
        global_batch=global_batch,
        precision=precision,
        layout=layout,
        price=price,
        date=date,
        region=region,
        post_hours=None if post_hours is None else parse_count(post_hours),
        sft_tokens=None if sft_tokens is None else parse_count(sft_tokens),
        rl=None if rl is None else parse_reinforcement(rl),
        market=market,
        price_region=price_region,
        interrupted_every=None if interrupted_every is None else parse_duration(interrupted_every) / 3600,
        currency=currency,
        first_run=first_run,
        optimizer=optimizer,
        lora=None if lora is None else parse_adapters(lora),
    )
    if budget is None and deadline is None:
        missing = [flag for flag, given in (("tokens", tokens), ("gpu", gpu), ("gpus", gpus)) if given is None]
        if missing:
            raise UserError(f"missing: --{', --'.join(missing)}; give them, or --budget and --deadline to find them.")
        emit(plan_training(asked), as_json=as_json, html=html, lang=lang, card=card)
        return
    means = Means(asked, counted, gpu, chips, budget, deadline)
    emit(afford(means), as_json=as_json, html=html, lang=lang, card=card)
