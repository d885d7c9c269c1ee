"""What was served, and what others reported, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.ledger.energy import NO_ENERGY
from centime.ledger.imported import ImportedLine
from centime.ledger.serving import ServedLine, ServingBill, stamp, units
from centime.units import format_count, format_device_time, format_money


def serving_table(serving: ServingBill) -> RenderableType:
    """What was served, a line a key and price list; where the machine's time went; the margin."""
    served = _table(f"Served{_span(serving)}", ("requests", "prompt", "hits", "output", "energy", "cost", "list price"))
    for line in serving.lines:
        served.add_row(_label(line), *_cells(line, serving), end_section=line is serving.lines[-1])
    served.add_row("All of it", *_cells(serving.total, serving), style="bold")
    machine = _table("The machine", ("time", "share", "energy", "cost"))
    for label, ns, energy in (
        ("Requests", serving.total.machine_ns, serving.total.energy),
        ("Unfinished", serving.unfinished_ns, serving.unfinished_energy),
        ("Idle", serving.idle_ns, serving.idle_energy),
        ("Start-up, loading", serving.other_ns, NO_ENERGY),  # in the lines of the bill, by the whole process
    ):
        if ns:
            share = f"{ns / serving.device_ns:.1%}" if serving.device_ns else ""
            machine.add_row(label, _time(ns), share, energy.text(ns), _money(serving, ns))
    machine.add_row("All of it", _time(serving.device_ns), "", "", _money(serving, serving.device_ns), style="bold")
    words = _margin(serving)
    tables = [served, machine] if serving.lines else [machine]
    return Group(*tables, *([Text(words, style="dim")] if words else []))


def hours_table(serving: ServingBill) -> Table:
    """One line an hour (UTC): what finished in it, and how the engines divided it."""
    table = _table("Hour by hour, UTC", ("requests", "prompt", "hits", "output", "busy", "idle", "list price"))
    for hour in serving.hours:
        list_price = "" if hour.line.list_price is None else format_money(hour.line.list_price, hour.line.currency)
        busy, idle = (_time(ns) if ns else "" for ns in (hour.requests_ns, hour.idle_ns))
        moment = stamp(hour.hour)
        table.add_row(f"{moment[:10]} {moment[11:16]}", *_tokens(hour.line), busy, idle, list_price)
    return table


def imported_table(lines: Sequence[ImportedLine]) -> Table:
    """What others reported, a line a source, thing and device."""
    table = _table(
        "Imported: reported by others, in no line above",
        ("device", "requests", "prompt", "hits", "output", "device time", "energy", "cost", "list price"),
    )
    for line in lines:
        cost = "no price" if line.device_ns else ""
        if line.cost_pico is not None:
            cost = format_money(units(line.cost_pico), line.cost_currency) + ("+" if line.unpriced else "")
        list_price = "" if line.list_pico is None else format_money(units(line.list_pico), line.currency)
        took = _time(line.device_ns) if line.device_ns else ""
        table.add_row(
            f"{line.source}: {line.name}",
            line.device,
            *_tokens(line),
            took,
            line.energy.text(line.device_ns),
            cost,
            list_price,
        )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", min_width=18)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "device" else "right", no_wrap=heading != "device")
    return table


def _label(line: ServedLine) -> str:
    key = line.key or "(no key)"
    prices = f"{line.tariff}, {line.hours}" if line.hours else line.tariff or "no price list"
    return f"{key}: {prices}"


def _cells(line: ServedLine, serving: ServingBill) -> list[str]:
    list_price = "" if line.list_price is None else format_money(line.list_price, line.currency)
    return [
        *_tokens(line),
        line.energy.text(line.machine_ns),
        _money(serving, line.machine_ns),
        list_price,
    ]


def _tokens(line: ServedLine | ImportedLine) -> list[str]:
    """Requests, prompt tokens, the share of them found in the cache, output tokens."""
    hit = f"{line.hit_tokens / line.prompt_tokens:.1%}" if line.prompt_tokens else ""
    counts = (line.requests, line.prompt_tokens, line.output_tokens)
    requests, prompt, output = (format_count(count) if count else "" for count in counts)
    return [requests, prompt, hit, output]


def _time(ns: int) -> str:
    return format_device_time(ns / 1e9)


def _money(serving: ServingBill, ns: int) -> str:
    cost = serving.share_of_cost(ns)
    return "" if cost is None else format_money(cost, serving.cost_currency or "")


def _span(serving: ServingBill) -> str:
    """', 2026-11-26 01:00 to 03:00 UTC': the hours in which something was served or idle."""
    if not serving.hours:
        return ""
    first, last = stamp(serving.hours[0].hour), stamp(serving.hours[-1].hour + 1)
    end = last[11:16] if last[:10] == first[:10] else f"{last[:10]} {last[11:16]}"
    return f", {first[:10]} {first[11:16]} to {end} UTC"


def _margin(serving: ServingBill) -> str:
    """What an output token costs, and the margin over everything the machine cost."""
    words = []
    if serving.cost is not None and serving.total.output_tokens:
        cost = format_money(serving.cost / serving.total.output_tokens * 1e6, serving.cost_currency or "")
        words.append(f"All machine time over the output tokens: {cost} per million.")
    if serving.margin is not None:
        words.append(f"Margin {serving.margin:,.1%}: (list price - machine cost) / machine cost, idle time included.")
    return " ".join(words)
