"""A metered engine for people and programs: where its hours went, and what a million tokens of each kind cost."""

from __future__ import annotations

import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from centime.addresses import shown_address
from centime.catalogue.tariffs import decimal
from centime.ledger.energy import NO_ENERGY, Footprint
from centime.ledger.engines.spans import KINDS, EngineWork
from centime.ledger.engines.split import HourPart, MeteredHour
from centime.ledger.engines.statements import host_of, money_of
from centime.ledger.engines.watch import EngineWatch
from centime.ledger.imports.terms import Terms
from centime.ledger.serving import stamp, units
from centime.units import format_count, format_device_time, format_money, plural

_NAMES = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama-server", "centime": "centime"}
_TOKENS = ("computed prompt token", "cached prompt token", "output token", "token of context read by an output token")
_MILLION = 1_000_000


class MeterSums:
    """Every hour of a watch, its parts summed by name; pico-units where there is a price."""

    def __init__(self, hours: list[MeteredHour], terms: Terms) -> None:
        self.hours, self.parts = hours, dict[str, HourPart]()
        self.pico: dict[str, int] = {}
        self.currency = ""
        self.device_ns = sum(hour.device_ns for hour in hours)
        self.energy = sum((hour.energy for hour in hours), NO_ENERGY)
        for hour in hours:
            _, currency, _, shares = money_of(hour, terms)
            self.currency = currency or self.currency
            for part, pico in zip(hour.parts, shares, strict=True):
                kept = self.parts.setdefault(part.name, HourPart(part.name, 0, EngineWork(), of_work=part.of_work))
                kept.device_ns += part.device_ns
                kept.work.add(part.work)
                kept.energy += part.energy
                kept.kinds_ns = tuple(a + b for a, b in zip(kept.kinds_ns, part.kinds_ns, strict=True))
                self.pico[part.name] = self.pico.get(part.name, 0) + pico

    def of_kinds(self) -> list[tuple[int, int]]:
        """By KINDS: (tokens, device-nanoseconds) of all models."""
        done = [part for part in self.parts.values() if part.of_work]
        return [
            (sum(part.work.amounts()[index] for part in done), sum(part.kinds_ns[index] for part in done))
            for index in range(len(KINDS))
        ]


def meter_json(watch: EngineWatch, terms: Terms, footprint: Footprint) -> dict[str, Any]:
    """What `centime meter --json` prints (docs/meter.md names the keys)."""
    sums, weights = MeterSums(watch.hours(), terms), watch.weights
    return {
        "engine": shown_address(watch.origin),
        "kind": watch.last.dialect if watch.last else None,
        "devices": terms.devices or 1,
        "device_ns": sums.device_ns,
        "cost": decimal(sum(sums.pico.values())) if sums.currency else None,
        "currency": sums.currency or None,
        **sums.energy.as_json(),
        "carbon_grams": footprint.grams(sums.energy.kwh),
        "carbon": footprint.as_json(),
        "weights": {
            "seconds": dict(zip(KINDS, weights.seconds, strict=True)),
            "assumed": weights.assumed,
            "windows": weights.windows,
            "error": weights.error,
        },
        "hours": [_hour_json(hour, terms) for hour in sums.hours],
        "notes": watch.notes(),
    }


def _hour_json(hour: MeteredHour, terms: Terms) -> dict[str, Any]:
    _, currency, _, shares = money_of(hour, terms)
    return {
        "hour": stamp(hour.hour),
        "device_ns": hour.device_ns,
        "parts": [
            {
                "name": part.name,
                "model": part.of_work,
                "device_ns": part.device_ns,
                "cost": decimal(pico) if currency else None,
                **part.energy.as_json(),
                "requests": part.work.requests,
                **dict(zip(KINDS, part.work.amounts(), strict=True)),
                "kinds_ns": dict(zip(KINDS, part.kinds_ns, strict=True)),
            }
            for part, pico in zip(hour.parts, shares, strict=True)
        ],
    }


def meter_table(watch: EngineWatch, terms: Terms, footprint: Footprint) -> RenderableType:
    """The same for a terminal."""
    sums = MeterSums(watch.hours(), terms)
    kind = _NAMES[watch.last.dialect] if watch.last else ""
    title = f"{host_of(watch.origin)} ({kind}), {plural(terms.devices or 1, 'device')}{_times(sums.hours)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for heading in ("requests", "computed", "cached", "output", "device time", "share", "energy", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, part in sums.parts.items():
        work = part.work
        counts = (work.requests, work.computed, work.cached, work.decoded) if part.of_work else (0,) * 4
        table.add_row(name, *(format_count(count) if count else "" for count in counts), *_cells(sums, part))
    table.add_section()
    table.add_row("everything", *[""] * 4, *_cells(sums, None), style="bold")
    lines = [_prices(sums), _carbon(sums, footprint), *(f"- {note}." for note in [_fit(watch), *watch.notes()] if note)]
    return Group(table, *(Text(line, style="dim") for line in lines if line))


def _carbon(sums: MeterSums, footprint: Footprint) -> str:
    grams = footprint.text(sums.energy.kwh)
    return f"CO2e of all of it: {grams}, by {footprint.grid}." if grams else ""


def _cells(sums: MeterSums, part: HourPart | None) -> tuple[str, ...]:
    ns = sums.device_ns if part is None else part.device_ns
    pico = sum(sums.pico.values()) if part is None else sums.pico[part.name]
    share = f"{ns / sums.device_ns:.1%}" if sums.device_ns else ""
    energy = (sums.energy if part is None else part.energy).text(ns)
    return (
        format_device_time(ns / 1e9),
        share,
        energy,
        format_money(units(pico), sums.currency) if sums.currency else "",
    )


def _times(hours: list[MeteredHour]) -> str:
    if not hours:
        return ""
    first, last = (
        datetime.datetime.fromtimestamp(ns / 1e9, datetime.UTC) for ns in (hours[0].start_ns, hours[-1].end_ns)
    )
    return (
        f", {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
        if last.date() != first.date()
        else (f", {first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC")
    )


def _prices(sums: MeterSums) -> str:
    """What a million tokens of each kind cost in busy time, and an output token when all of the time is paid by it."""
    if not sums.currency or not sums.device_ns:
        return ""
    total = sum(sums.pico.values())

    def of(ns: int, tokens: int) -> str:
        return format_money(units(total) * ns / sums.device_ns / tokens * _MILLION, sums.currency)

    names = ("computed prompt", "cached prompt", "output", "context read")
    found = [
        f"{name} {of(ns, tokens)}" for name, (tokens, ns) in zip(names, sums.of_kinds(), strict=True) if tokens and ns
    ]
    if not found:
        return ""
    output = sums.of_kinds()[2][0]
    whole = f" All time over the output tokens, idle too: {of(sums.device_ns, output)}." if output else ""
    return f"A million tokens, busy time alone: {', '.join(found)}.{whole}"


def _fit(watch: EngineWatch) -> str:
    weights = watch.weights
    if weights.assumed or weights.error is None:
        return ""
    parts = [
        f"{format_device_time(seconds)} a {name}"
        for seconds, name in zip(weights.seconds, _TOKENS, strict=True)
        if seconds
    ]
    return (
        f"the engine's time, fitted on {weights.windows} windows of 15 s: {', '.join(parts)}; on those left out it is "
        f"off by {weights.error:.1%} (root mean square)"
    )
