"""The bill for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.ledger.billing.bill import Bill, BillLine
from centime.ledger.billing.plan_actual import said_between, state_in_words
from centime.ledger.billing.stages import SECTIONS, TRAINING, stage_name
from centime.ledger.billing.table_serving import hours_table, imported_table, serving_table
from centime.units import format_count, format_device_time, format_duration, format_energy, format_money

_QUANTITIES = {"seconds": "time", "device_hours": "device time", "energy_kwh": "energy", "mfu": "MFU", "flops": "FLOPs"}
_ESTIMATED, _ASSUMED = "~", "*"
_MARKS = {_ESTIMATED: "estimated", _ASSUMED: "assumed"}


def table_of(bill: Bill, hours: bool = False) -> RenderableType:
    """The bill as a table, its plan beside it where there is one, and its notes; `hours`: serving hour by hour too."""
    one_device = bill.total.device != "mixed" and len({line.devices for line in bill.lines}) == 1
    whose = f"Bill of {bill.run}" if bill.run else "Bill of everything in the ledger"
    on = f", on {bill.total.devices} x {bill.total.device}" if one_device else ""
    table = Table(title=whose + on, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    if not one_device:
        table.add_column("device")
        table.add_column("devices", justify="right", no_wrap=True)
    carbon = bill.footprint.grid is not None
    for heading in ("device time", "tokens", "MFU", "energy", *(["CO2e"] if carbon else []), "cost"):
        table.add_column(heading, justify="right", no_wrap=True)

    def row(label: str, line: BillLine, end: bool = False) -> None:
        device = [] if one_device else [line.device, str(line.devices)]
        style = "bold" if line is bill.total or line is bill.training else ""
        *cells, cost = _cells(line)
        grams = [_grams(bill, line)] if carbon else []
        table.add_row(label, *device, *cells, *grams, cost, style=style, end_section=end)

    many = len({line.section for line in bill.lines}) > 1
    for section, heading in SECTIONS.items():
        lines = [line for line in bill.lines if line.section == section]
        if many and lines:
            table.add_row(Text(heading, style="italic"))
        for line in lines:
            row(stage_name(line.stage), line, end=line is lines[-1] and section != TRAINING)
        if lines and section == TRAINING:
            row("Total", bill.training, end=True)
    if many or not bill.training.device_ns:
        row("Everything", bill.total)
    parts: list[RenderableType] = [table]
    if bill.plan:
        parts.append(_plan_table(bill.plan, bill.currency))
    if bill.serving is not None:
        parts.append(serving_table(bill.serving))
        if hours:
            parts.append(hours_table(bill.serving))
    if bill.imported:
        parts.append(imported_table(bill.imported))
    if bill.run is None and len(bill.runs) > 1:
        parts.append(_runs_table(bill.runs))
    parts.append(Text(_legend(bill), style="dim"))
    if carbon:
        parts.append(Text(f"CO2e: energy at {bill.footprint.grid}.", style="dim"))
    parts += [Text(f"- {note}.", style="dim") for note in bill.notes]
    return Group(*parts)


def _legend(bill: Bill) -> str:
    """Which figures are measured, and the date of the price."""
    cells = "".join(cell for line in (*bill.lines, bill.total) for cell in _cells(line))
    marks = [f"{mark} {text}" for mark, text in _MARKS.items() if mark in cells]
    dated = f" Prices of {bill.price_date}." if bill.price_date else ""
    return (f"Measured, but for {', '.join(marks)}." if marks else "Everything is measured.") + dated


def _cells(line: BillLine) -> list[str]:
    took = format_device_time(line.device_ns / 1e9) + (_ESTIMATED if line.estimated_ns else "")
    energy, cost = "", "no price"
    if line.energy_kwh is not None:
        mark = _ESTIMATED if line.energy_source in {"estimated", "mixed"} else ""
        energy = format_energy(line.energy_kwh) + mark
    if line.money is not None:
        currency = next(iter(line.currencies))
        mark = _ASSUMED if line.cost_sources & {"assumed"} else ""
        partly = "+" if "none" in line.cost_sources else ""
        cost = format_money(line.money, currency) + partly + mark
    elif line.currencies:
        cost = "see lines"
    mfu = f"{line.mfu:.1%}" if line.mfu is not None else ""
    return [took, format_count(line.tokens) if line.tokens else "", mfu, energy, cost]


def _grams(bill: Bill, line: BillLine) -> str:
    """With the mark of the energy that they are counted from."""
    text = bill.footprint.text(line.energy_kwh)
    return text + _ESTIMATED if text and line.energy_source in {"estimated", "mixed"} else text


def _plan_table(plan: dict[str, Any], currency: str | None) -> Table:
    title = f"Plan against actual{state_in_words(plan)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for heading in ("plan", "actual", "actual / plan"):
        table.add_column(heading, justify="right")
    groups = [("", plan["predicted"], plan["actual"])]
    stages = plan["actual"].get("stages", {})
    groups += [(f"{stage_name(stage)}: ", plan["predicted"]["stages"][stage], stages[stage]) for stage in stages]
    for prefix, predicted, actual in groups:
        for key, was in actual.items():
            planned = predicted[key]
            if isinstance(planned, bool) or not isinstance(planned, (int, float)) or not isinstance(was, (int, float)):
                continue
            ratio = f"{was / planned:.2f}" if planned else ""
            ratio += said_between(predicted) if key == "seconds" else ""
            table.add_row(
                prefix + _QUANTITIES.get(key, key), _value(key, planned, currency), _value(key, was, currency), ratio
            )
    profile = plan["predicted"].get("by_profile")
    took = plan["actual"].get("seconds")
    corrected = plan["predicted"].get("corrected")
    if corrected and took:
        table.add_row(
            f"time, forecast after {corrected['after_seconds']:.0f} s",
            format_duration(corrected["seconds"]),
            format_duration(took),
            f"{took / corrected['seconds']:.2f}{said_between(corrected)}",
        )
    if profile and took:
        label = f"time, by the profile of {profile['made'][:10]}"
        table.add_row(
            label,
            format_duration(profile["seconds"]),
            format_duration(took),
            f"{took / profile['seconds']:.2f}",
        )
    return table


def _value(key: str, value: float, currency: str | None) -> str:
    if key == "cost" and currency:
        return format_money(value, currency)
    if key == "device_hours":
        return format_device_time(value * 3600)
    if key == "energy_kwh":
        return format_energy(value)
    if key == "seconds":
        return format_duration(value)
    if key == "mfu":
        return f"{value:.1%}"
    return format_count(value)


def _runs_table(runs: list[dict[str, Any]]) -> Table:
    table = Table(
        title="Runs, the latest last", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in ("run", "last", "device time", "cost"):
        table.add_column(heading, justify="right" if heading in {"device time", "cost"} else "left")
    for run in runs[-20:]:
        name = run["run"] or "(killed before it had a name)"
        cost = format_money(run["cost"], run["currency"]) if run["cost"] is not None else "no price"
        table.add_row(name, run["last"][:16].replace("T", " "), format_device_time(run["device_hours"] * 3600), cost)
    return table
