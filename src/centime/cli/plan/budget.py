"""`centime plan budget`: what a budget buys, and the investor's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Currency, Html, Lang, emit


def budget(
    capex: Annotated[
        str | None, typer.Option("--capex", help="The amount: '80B$', '80 Md€'; else all of --company's.")
    ] = None,
    years: Annotated[int, typer.Option("--years", help="Horizon of the investor's figures.")] = 5,
    gpu: Annotated[str, typer.Option("--gpu", help="The chip that is bought.")] = "gb200",
    split: Annotated[str, typer.Option("--split", help="Shares of the GPU-hours.")] = "train=0.3,serve=0.7",
    of: Annotated[
        str | None, typer.Option("--of", help="Whose later figures stand beside: Microsoft, Meta, ...")
    ] = None,
    train_model: Annotated[
        list[str] | None,
        typer.Option(
            "--train-model",
            help="Whose training runs are counted: deepseek-v3, llama-405b, or NAME=TOKENS; may be repeated.",
        ),
    ] = None,
    serve_model: Annotated[str, typer.Option("--serve-model", help="The model that is served.")] = "deepseek-v3",
    chip_price: Annotated[str | None, typer.Option("--chip-price", help="Purchase price of a chip: '$40000'.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="Rent of a GPU-hour: '$2/h'.")] = None,
    power_price: Annotated[str | None, typer.Option("--power-price", help="Of a kWh: '$0.08'.")] = None,
    discount: Annotated[float, typer.Option("--discount", help="Yearly discount rate.")] = 0.1,
    ramp: Annotated[float, typer.Option("--ramp", help="Years over which the fleet comes into use.")] = 0.0,
    tax: Annotated[float, typer.Option("--tax", help="Share of profits: 0.21.")] = 0.0,
    write_off: Annotated[
        float, typer.Option("--write-off", help="Years over which chips are written off for tax.")
    ] = 5.0,
    company: Annotated[
        Path | None,
        typer.Option("--company", help="TOML of capex, revenue and opex by year, shown beside.", dir_okay=False),
    ] = None,
    currency: Currency = None,
    efficiency: Annotated[
        str | None, typer.Option("--efficiency", help="If a GPU serves so many times the tokens: how many GPUs: 10x.")
    ] = None,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """What a budget buys: chips, power, training runs, tokens; rent against own, depreciation, NPV, a tornado chart."""
    from centime.errors import UserError
    from centime.plan.budget.company import read_company
    from centime.plan.budget.inputs import BudgetRequest, in_dollars, parse_split, rate_note
    from centime.plan.budget.plan import plan_budget
    from centime.plan.budget.questions import parse_gain

    train, serve = parse_split(split)
    own = None if company is None else read_company(company)
    if capex is None and (own is None or not own.capex):
        raise UserError("missing: --capex, or a --company that spends some; write it as '80B$'.")
    asked = BudgetRequest(
        capex=own.capex if capex is None and own else in_dollars(capex or "", "--capex"),
        chip=gpu,
        years=years,
        train=train,
        serve=serve,
        discount=discount,
        of=of,
        models=tuple(train_model) if train_model else BudgetRequest.models,
        serve_model=serve_model,
        chip_price=None if chip_price is None else in_dollars(chip_price, "--chip-price"),
        rent=None if price is None else in_dollars(price, "--price"),
        ramp=ramp,
        tax=tax,
        write_off=write_off,
        company=own,
        currency=currency,
        efficiency=None if efficiency is None else parse_gain(efficiency),
        rates=tuple(filter(None, (rate_note(text) for text in (capex, chip_price, price, power_price) if text))),
        usd_per_kwh=None if power_price is None else in_dollars(power_price, "--power-price"),
    )
    emit(plan_budget(asked), as_json=as_json, html=html, lang=lang, card=card)
