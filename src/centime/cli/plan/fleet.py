"""`centime plan fleet`: demand over years to GPUs, power and money by month."""

from __future__ import annotations

from typing import Annotated

import typer

from centime.cli.plan.common import AsJson, CardFile, Html, Lang, emit


def fleet(
    scenario: Annotated[
        str, typer.Option("--scenario", help="A TOML file, or a shipped scenario: deepseek-day6, google-tokens, ...")
    ],
    years: Annotated[float | None, typer.Option("--years", help="How far to plan, instead of the scenario's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws: the same seed gives the same numbers.")] = 0,
    draws: Annotated[int, typer.Option("--draws", help="Futures drawn from the scenario's distributions.")] = 1000,
    as_json: AsJson = False,
    html: Html = None,
    lang: Lang = "en",
    card: CardFile = None,
) -> None:
    """From demand (growth, daily profile, price elasticity) to GPUs, power and money by month, with percentiles."""
    from centime.plan.fleet.plan import plan_fleet

    emit(plan_fleet(scenario, years=years, seed=seed, draws=draws), as_json=as_json, html=html, lang=lang, card=card)
