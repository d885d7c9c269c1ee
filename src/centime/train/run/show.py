"""What a run will take, as a table before its first step."""

from __future__ import annotations

import os

from rich.table import Table
from rich.text import Text

from centime.catalogue.prices import ask_for_price
from centime.data.pairs import Shown
from centime.ledger.billing import stage_name
from centime.plan.counts import count
from centime.train.forecast import Forecast, available_bytes
from centime.train.run.setup import Setup
from centime.train.stages import PairRows, StagePlan
from centime.units import format_bytes, format_count, format_duration, format_money

MOST_SHOWN = 120  # tokens of a stretch: of a longer one its beginning and its end


def show_forecast(
    setup: Setup, stages: list[StagePlan], forecast: Forecast, peak_flops: float, by_profile: float = 0.0
) -> None:
    """Prints the model, the stages with time and money, and the memory. by_profile: seconds, 0 without a profile."""
    say, config, price = setup.console.print, setup.recipe.model, setup.price
    show_rows(setup, stages)
    counts = count(config, stages[0].stage.sequence_length)
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
        for line, seconds in stage.beside.items():
            cells = [f"  of it {stage_name(line)}", "", "", "", format_duration(seconds), ""]
            table.add_row(*cells, *([format_money(forecast.cost(seconds) or 0.0, price.currency)] if price else []))
    say(table)
    say(f"Forecast: {in_words(forecast)}.")
    say_if_busy(setup)
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


def show_rows(setup: Setup, stages: list[StagePlan]) -> None:
    """What is left out of each stage's rows, and of each file of chats the first sample with what is trained on."""
    seen = set()
    for plan in stages:
        for sentence in plan.rows.said():
            setup.say(f"{plan.name}: {sentence}")
        shown = plan.rows.loader.example if isinstance(plan.rows, PairRows) else None
        if shown is not None and shown.where not in seen:
            seen.add(shown.where)
            setup.say(f"What is trained on, by the first sample ({shown.where}):")
            setup.console.print(masked(shown))


def masked(shown: Shown) -> Table:
    """A sample's stretches with their loss; tokens in turns bright and dim, where the terminal can."""
    table = Table("loss", "tokens", "text", box=None, pad_edge=False)
    for texts, on in shown.parts:
        text = Text()
        for number, token in enumerate(texts if len(texts) <= MOST_SHOWN else [*texts[: MOST_SHOWN // 2], " ... "]):
            style = ("bold green" if on else "default") + (" dim" if number % 2 else "")
            text.append(token.replace("\n", "\u21b5"), style=style)
        if len(texts) > MOST_SHOWN:
            text.append("".join(texts[-MOST_SHOWN // 2 :]).replace("\n", "\u21b5"))
        table.add_row("yes" if on else "-", f"{len(texts):,}", text)
    return table


def in_words(forecast: Forecast) -> str:
    """'5m 12s and $0.0069, between 4m 12s and 6m 25s'."""
    price = forecast.price
    money = f" and {format_money(forecast.cost(forecast.seconds) or 0.0, price.currency)}" if price else ""
    low, high = forecast.between()
    return f"{format_duration(forecast.seconds)}{money}, between {format_duration(low)} and {format_duration(high)}"


def say_if_busy(setup: Setup) -> None:
    """Says so where other programs have the cores: the forecast then holds for a machine that stays as busy."""
    cores = setup.metered.vcpus or os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except OSError:  # a system that does not know
        return
    if setup.device.type == "cpu" and load > cores:
        setup.console.print(
            f"The machine is busy (load {load:.1f} on {cores} cores): a run beside other programs takes longer, "
            "and the forecast holds only while they go on.",
            markup=False,
        )
