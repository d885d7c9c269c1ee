"""The story as tables: a line an arm, over the seeds with their spread; a bill in the shape of R1's own of costs."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from benchmarks.r1.marks import Marks, split
from rich.console import Console
from rich.table import Table

from centime.catalogue.prices import Price
from centime.units import format_money

# Two-sided 95 % of Student's t for n - 1 degrees of freedom
STUDENT_T = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}

MADE = ("base", "reinforced", "its student")


def show(console: Console, seeds: list[dict[str, Any]], price: Price | None) -> None:
    """The table, what the gain is made of, and the bill."""
    table = Table("", "right", "worked out", "right if so", "tokens", "time", "money", box=None)
    for arms in zip(*(one["arms"] for one in seeds), strict=True):
        found = [Marks(**arm["marks"]) for arm in arms]
        seconds = mean(arm["seconds"] for arm in arms)
        table.add_row(
            arms[0]["name"],
            spread([100 * one.right for one in found], " %"),
            f"{100 * mean(one.worked for one in found):.0f} %",
            f"{100 * mean(one.right_if_worked for one in found):.0f} %",
            f"{mean(one.length for one in found):.1f}",
            f"{seconds:.0f} s",
            _money(seconds, price),
        )
    console.print(table)
    console.print(
        "right, tokens: the likeliest answers to fresh problems; worked out: of those drawn at temperature 1. "
        "time: of the processor."
    )
    sizes = {arm["name"]: arm["parameters"] for arm in seeds[0]["arms"]}
    console.print(f"Of parameters the base has {sizes['base']:,}, the student {list(sizes.values())[-1]:,}.")
    console.print(gain([(Marks(**one["arms"][0]["marks"]), Marks(**one["arms"][1]["marks"])) for one in seeds]))
    console.print(bill(seeds, price))


def bill(seeds: list[dict[str, Any]], price: Price | None) -> Table:
    """The mean costs of what makes the reinforced model and its student (R1, arXiv 2501.12948v2, table 7)."""
    spent = {arm["name"]: mean(one["arms"][i]["seconds"] for one in seeds) for i, arm in enumerate(seeds[0]["arms"])}
    made = {name: seconds for name, seconds in spent.items() if name in MADE}
    made["Total"] = sum(made.values())
    table = Table("Training costs", *made, box=None)
    table.add_row("in hours", *(f"{seconds / 3600:.4f}" for seconds in made.values()))
    table.add_row("in money", *(_money(seconds, price) for seconds in made.values()))
    return table


def _money(seconds: float, price: Price | None) -> str:
    return "-" if price is None else format_money(seconds / 3600 * price.per_device_hour, price.currency)


def gain(pairs: list[tuple[Marks, Marks]]) -> str:
    """The sentence that splits what reinforcement brought, among drawn answers, into form and substance."""
    parts = [split(*pair) for pair in pairs]
    form, substance = (100 * mean(part[i] for part in parts) for i in (0, 1))
    return (
        f"Of {form + substance:.1f} points gained among drawn answers {form:.1f} are form (it works its problems out, "
        f"as well as the base did), {substance:.1f} substance (its workings are right more often)."
    )


def spread(values: list[float], unit: str) -> str:
    """The mean, and of several values the half of its 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.1f}{unit}"
    half = STUDENT_T.get(len(values), 1.96) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):.1f} ± {half:.1f}{unit}"
