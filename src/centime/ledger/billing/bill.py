"""The bill: the book's intervals summed in the shape of Table 1 of the DeepSeek-V3 report (arXiv:2412.19437).

Training first (pre-training, context extension, post-training, total), then what surrounds it, then serving, whose
requests and margin are a part of their own (serving.py), as is what others reported (imported.py). Nothing is rounded
before it is printed; device-time is summed in integer nanoseconds.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from centime.catalogue.prices import Price
from centime.ledger.billing.at_once import MeasuredSpan, most_at_once, span_of
from centime.ledger.billing.notes import notes_of, running
from centime.ledger.billing.own_files import training_elsewhere
from centime.ledger.billing.plan_actual import begun_ns, plan_against_actual
from centime.ledger.billing.runs import intervals_of, with_price
from centime.ledger.billing.stages import SECTIONS, TRAINING, order_of, section_of
from centime.ledger.book import Book
from centime.ledger.energy import Footprint
from centime.ledger.energy.use import KWH_UJ
from centime.ledger.imported import ImportedLine, imported_lines
from centime.ledger.interval import Interval
from centime.ledger.serving import ServingBill, serving_bill
from centime.units import HOUR_NS, format_device_time


@dataclass
class BillLine:
    """What one stage spent on one device, or a total. Sums of intervals; None is unknown, not nought."""

    stage: str
    section: str
    device: str
    spans: list[MeasuredSpan] = field(default_factory=list)
    measured_ns: int = 0  # device-nanoseconds
    estimated_ns: int = 0
    tokens: int = 0
    flops: float = 0.0
    peak_flop: float | None = 0.0  # what the devices could have done in the measured time; None: a peak is unknown
    energy_uj: float | None = None
    energy_sources: set[str] = field(default_factory=set)
    cost: float | None = None
    cost_sources: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)

    def add(self, interval: Interval) -> None:
        """Sum one interval in."""
        self.spans.append(span_of(interval))
        self.measured_ns += interval.measured_ns * interval.devices
        self.estimated_ns += interval.estimated_ns * interval.devices
        self.tokens += interval.tokens
        self.flops += interval.flops
        if interval.flops and self.peak_flop is not None:
            seconds = interval.measured_ns / 1e9 * interval.devices
            self.peak_flop = None if not interval.peak_flops else self.peak_flop + interval.peak_flops * seconds
        if interval.energy_source != "none":
            self.energy_uj = (self.energy_uj or 0) + interval.energy_uj
        self.energy_sources.add({"tdp": "estimated"}.get(interval.energy_source, interval.energy_source))
        if interval.cost is not None and interval.currency is not None:
            self.cost = (self.cost or 0.0) + interval.cost
            self.currencies.add(interval.currency)
        self.cost_sources.add(interval.price_kind or "none")

    @property
    def device_ns(self) -> int:
        """Device-nanoseconds, measured and estimated."""
        return self.measured_ns + self.estimated_ns

    @property
    def devices(self) -> int:
        """The most devices in use at once: of one meter, or of several processes side by side (torchrun's ranks)."""
        return most_at_once(self.spans)

    @property
    def mfu(self) -> float | None:
        """Model FLOPs over what the devices' peak allows in the same time; None where either is unknown."""
        return self.flops / self.peak_flop if self.flops and self.peak_flop else None

    @property
    def energy_kwh(self) -> float | None:
        """Kilowatt-hours; None where nobody knows any."""
        return None if self.energy_uj is None else self.energy_uj / KWH_UJ

    @property
    def energy_source(self) -> str:
        """nvml or rapl (measured), estimated, mixed or none."""
        return _one(self.energy_sources)

    @property
    def cost_source(self) -> str:
        """given, overlay, catalogue, assumed, mixed or none."""
        return _one(self.cost_sources)

    @property
    def money(self) -> float | None:
        """The cost, where it is in one currency."""
        return self.cost if len(self.currencies) == 1 else None

    def as_json(self) -> dict[str, Any]:
        """The line as `centime bill --json` prints it (docs/bill.md names the keys)."""
        return {
            "stage": self.stage,
            "device": self.device,
            "devices": self.devices,
            "device_hours": self.device_ns / HOUR_NS,
            "tokens": self.tokens,
            "flops": self.flops,
            "mfu": self.mfu,
            "energy_kwh": self.energy_kwh,
            "energy_source": self.energy_source,
            "cost": self.money,
            "cost_source": self.cost_source,
            "section": self.section,
            "currency": next(iter(self.currencies)) if len(self.currencies) == 1 else None,
            "measured_device_ns": self.measured_ns,
            "estimated_device_ns": self.estimated_ns,
        }


@dataclass
class Bill:
    """Lines in the order of printing, their total, and what has to be said beside them."""

    run: str | None  # None: everything in the book
    lines: list[BillLine]
    total: BillLine
    training: BillLine  # the total of Table 1: the lines of section 'training'
    price_date: str | None
    plan: dict[str, Any] | None
    runs: list[dict[str, Any]]
    notes: list[str]
    serving: ServingBill | None = None  # what `centime serve` served; None where it never ran
    imported: list[ImportedLine] = field(default_factory=list)  # by others' word; in no line and no total above
    footprint: Footprint = Footprint(None)  # noqa: RUF009 - frozen; what carbon is counted by

    @property
    def currency(self) -> str | None:
        """The bill's currency; None without a price or with several."""
        return next(iter(self.total.currencies)) if len(self.total.currencies) == 1 else None

    def as_json(self) -> dict[str, Any]:
        """The whole bill as JSON values."""
        return {
            "currency": self.currency,
            "price_date": self.price_date,
            "lines": [self._line_json(line) for line in self.lines],
            "total": self._line_json(self.total),
            "plan": self.plan,
            "run": self.run,
            "training": self._line_json(self.training),
            "runs": self.runs,
            "notes": self.notes,
            "serving": None if self.serving is None else self.serving.as_json(),
            "imported": [
                line.as_json() | {"carbon_grams": self.footprint.grams(line.energy.kwh)} for line in self.imported
            ],
            "carbon": self.footprint.as_json(),
        }

    def _line_json(self, line: BillLine) -> dict[str, Any]:
        return line.as_json() | {"carbon_grams": self.footprint.grams(line.energy_kwh)}


def bill_of(book: Book, run: str | None = None, price: Price | None = None, footprint: Footprint | None = None) -> Bill:
    """The bill of one run (its folder or its name), or of everything in the book.

    price: for what was booked without one. footprint: what carbon is counted by; None: by the person's carbon.toml.
    Raises UserError for a run that the book does not know, or a name that several folders share.
    """
    chosen = with_price(intervals_of(book.intervals(), run), price)
    chosen.sort(key=lambda i: (i.boot, i.mono_start_ns, i.id))  # sums, whatever the wall clock did, to the last bit
    lines: dict[tuple[str, ...], BillLine] = {}
    total, training = BillLine("total", "", ""), BillLine("total", TRAINING, "")
    for interval in chosen:
        section = section_of(interval.stage, interval.verb)
        key = (section, interval.stage, interval.device_label, interval.currency or "")
        if key not in lines:
            lines[key] = BillLine(interval.stage, section, interval.device_label)
        for line in (lines[key], total, *([training] if section == TRAINING else [])):
            line.add(interval)
    for line in (total, training):
        line.device = _one({part.device for part in lines.values() if line is total or part.section == TRAINING})
    predicted = book.plan(chosen[0].run, chosen[0].run_path) if run is not None and chosen else None
    since = [i for i in chosen if i.wall_start_ns >= begun_ns(predicted or {})]
    return Bill(
        run=run,
        lines=sorted(lines.values(), key=_order),
        total=total,
        training=training,
        price_date=_span(sorted({interval.price_date for interval in chosen if interval.price_date})),
        plan=_plan(predicted, since) if predicted is not None else None,
        runs=_runs(chosen),
        notes=[*notes_of(chosen), *_before(chosen, since), *_elsewhere(chosen, run)],
        serving=serving_bill(book.served(), book.engine_hours(), chosen, run),
        imported=imported_lines(book.imported()) if run is None else [],
        footprint=Footprint.chosen() if footprint is None else footprint,
    )


def _order(line: BillLine) -> tuple[int, int, str, str]:
    """Sections in order; Table 1's stages first among their kind, start-up last."""
    return [*SECTIONS].index(line.section), order_of(line.stage), line.stage, line.device


def _one(values: set[str]) -> str:
    """The only value, 'mixed' for several, 'none' for none."""
    return "none" if not values else next(iter(values)) if len(values) == 1 else "mixed"


def _span(dates: Sequence[str]) -> str | None:
    return None if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _plan(predicted: dict[str, Any], since: list[Interval]) -> dict[str, Any]:
    """The forecast beside what was trained since the run that it was made for began."""
    by_stage: dict[str, BillLine] = {}
    training = BillLine("total", TRAINING, "")
    for interval in since:
        if section_of(interval.stage, interval.verb) == TRAINING:
            for line in (by_stage.setdefault(interval.stage, BillLine(interval.stage, TRAINING, "")), training):
                line.add(interval)
    now = any(section_of(interval.stage, interval.verb) == TRAINING for interval in running(since))
    return plan_against_actual(predicted, by_stage, training, now)


def _before(chosen: list[Interval], since: list[Interval]) -> list[str]:
    """What an earlier run spent in a folder that was deleted and trained into anew: it stays on the bill."""
    seconds = (sum(i.device_ns for i in chosen) - sum(i.device_ns for i in since)) / 1e9
    if not seconds:
        return []
    return [
        f"{format_device_time(seconds)} of this are of earlier runs in the same folder: in every line, and not in what "
        "is set against the plan"
    ]


def _runs(chosen: list[Interval]) -> list[dict[str, Any]]:
    """One entry a run, the latest last."""
    sums: dict[tuple[str, str | None], BillLine] = {}
    last: dict[tuple[str, str | None], int] = {}
    for interval in chosen:
        key = (interval.run, interval.run_path)
        sums.setdefault(key, BillLine("", "", "")).add(interval)
        last[key] = max(last.get(key, 0), interval.wall_start_ns)
    return [
        {
            "run": run,
            "path": path,
            "last": _utc(last[run, path]),
            "device_hours": line.device_ns / HOUR_NS,
            "cost": line.money,
            "currency": next(iter(line.currencies)) if len(line.currencies) == 1 else None,
        }
        for (run, path), line in sorted(sums.items(), key=lambda item: last[item[0]])
    ]


def _elsewhere(chosen: list[Interval], run: str | None) -> list[str]:
    """What a run's folder says of a training that this book knows nothing of."""
    path = chosen[0].run_path if run is not None and chosen else None
    if run is None or path is None or any(section_of(interval.stage, interval.verb) == TRAINING for interval in chosen):
        return []
    said = training_elsewhere(Path(path), run)
    return [said] if said else []


def _utc(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns / 1e9, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
