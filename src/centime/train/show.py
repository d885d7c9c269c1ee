"""What a run will take, as a table before its first step."""

from __future__ import annotations

from rich.table import Table

from centime.catalogue.prices import ask_for_price
from centime.plan.counts import count
from centime.train.forecast import Forecast
from centime.train.memory import available_bytes
from centime.train.setup import Setup
from centime.train.stages import StagePlan
from centime.units import format_bytes, format_count, format_duration, format_money

LEAST_SPREAD = 0.05  # a few steps in a row repeat more closely than a whole run does


def show_forecast(
    setup: Setup, stages: list[StagePlan], forecast: Forecast, peak_flops: float, by_profile: float = 0.0
) -> None:
    """Prints the model, the stages with time and money, and the memory. by_profile: seconds, 0 without a profile."""
    say, config, price = setup.console.print, setup.recipe.model, setup.price
    counts = count(config, setup.recipe.train.sequence_length)
    ranks = f", {setup.ranks.world} ranks" if setup.ranks.world > 1 else ""
    precision = str(setup.dtype).removeprefix("torch.")
    say(
        f"{setup.recipe.name}: {format_count(counts.total_params)} parameters, {format_count(counts.active_params)} "
        f"active, {precision} on {setup.metered}{ranks}"
    )
    columns = ["stage", "steps", "sequences x length", "tokens", "time", "MFU", *(["money"] if price else [])]
    table = Table(*columns, box=None, pad_edge=False)
    for plan, stage in zip(stages, forecast.stages, strict=True):
        mfu = stage.flops / stage.seconds / peak_flops
        cells = [stage.name, f"{stage.steps:,}", f"{int(plan.schedule.rows.max())} x {plan.stage.sequence_length}"]
        cells += [format_count(stage.tokens), format_duration(stage.seconds), f"{100 * mfu:.0f} %"]
        table.add_row(*cells, *([format_money(forecast.cost(stage.seconds) or 0.0, price.currency)] if price else []))
    say(table)
    spread = max(LEAST_SPREAD, *(stage.spread for stage in forecast.stages))
    money = f" and {format_money(forecast.cost(forecast.seconds) or 0.0, price.currency)}" if price else ""
    say(f"Forecast: {format_duration(forecast.seconds)}{money}, give or take {100 * spread:.0f} % (a few timed steps).")
    if setup.profile is not None:
        say(f"By this machine's profile of {setup.profile.made[:10]}: {format_duration(by_profile)}.")
    free = available_bytes(setup.device)
    rank = " a rank" if setup.ranks.world > 1 else ""
    say(f"Memory: {format_bytes(forecast.memory_bytes)}{rank} at its peak; {format_bytes(free)} more are free.")
    say(f"Price: {price}." if price else f"Money: {ask_for_price(setup.metered)}.")
    if setup.budget is not None:
        shares = (
            f"{plan.name} {100 * plan.schedule.tokens / whole.schedule.tokens:.0f} %"
            for plan, whole in zip(stages, setup.stages, strict=True)
        )
        say(f"Budget: {setup.budget}; of the recipe's tokens that is {', '.join(shares)}.")
