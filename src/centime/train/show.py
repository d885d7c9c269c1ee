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


def show_forecast(setup: Setup, stages: list[StagePlan], forecast: Forecast, peak_flops: float) -> None:
    """Prints the model, the stages with time and money, and the memory."""
    say, config = setup.console.print, setup.recipe.model
    counts = count(config, setup.recipe.train.sequence_length)
    say(
        f"{setup.recipe.name}: {format_count(counts.total_params)} parameters, {format_count(counts.active_params)} active, "
        f"{str(setup.dtype).removeprefix('torch.')} on {setup.metered}"
        + (f", {setup.ranks.world} ranks" if setup.ranks.world > 1 else "")
    )
    price = setup.price
    table = Table("stage", "steps", "sequences x length", "tokens", "time", "MFU", *(["money"] if price else []), box=None, pad_edge=False)
    for plan, stage in zip(stages, forecast.stages, strict=True):
        cells = [stage.name, f"{stage.steps:,}", f"{int(plan.schedule.rows.max())} x {plan.stage.sequence_length}"]
        cells += [format_count(stage.tokens), format_duration(stage.seconds), f"{100 * stage.flops / stage.seconds / peak_flops:.0f} %"]
        table.add_row(*cells, *([format_money(forecast.cost(stage.seconds) or 0.0, price.currency)] if price else []))
    say(table)
    spread = max(stage.spread for stage in forecast.stages)
    total = format_duration(forecast.seconds)
    money = f" and {format_money(forecast.cost(forecast.seconds) or 0.0, price.currency)}" if price else ""
    say(f"Forecast: {total}{money}, give or take {100 * max(spread, 0.05):.0f} % (from timed steps).")
    say(f"Memory: about {format_bytes(forecast.memory_bytes)} a rank of {format_bytes(available_bytes(setup.device))} free.")
    if price is None:
        say(f"Money: {ask_for_price(setup.metered)}.")
    else:
        say(f"Price: {price}.")
    if setup.budget is not None:
        say(f"Budget: {setup.budget}; the stages are at {', '.join(f'{100 * f:.0f} %' for f in setup_factors(stages, setup))} of the recipe's tokens.")


def setup_factors(stages: list[StagePlan], setup: Setup) -> list[float]:
    """Each stage's tokens over those that the recipe states."""
    return [plan.schedule.tokens / whole.schedule.tokens for plan, whole in zip(stages, setup.stages, strict=True)]
