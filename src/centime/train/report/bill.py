"""The bill, and the plan beside it, as rows of text for the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from centime import units
from centime.charts.kinds import Table
from centime.ledger.billing import said_between, stage_name

_ESTIMATED, _ASSUMED = "~", "*"
_MARKS = {_ESTIMATED: "estimated", _ASSUMED: "assumed"}


def _number(line: Mapping[str, Any], key: str) -> float | None:
    value = line.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _kinds(currency: str) -> list[tuple[str, str, Callable[[float], str]]]:
    """(key, label, how it is written) of every figure that a bill line or a plan may hold."""
    return [
        ("device_hours", "Device time", lambda hours: units.format_device_time(hours * 3600)),
        ("tokens", "Tokens", units.format_count),
        ("flops", "Model FLOPs", units.format_count),
        ("mfu", "MFU", lambda share: f"{100 * share:.1f} %"),
        ("energy_kwh", "Energy", units.format_energy),
        ("cost", "Cost", lambda money: units.format_money(money, currency)),
    ]


def _mark(line: Mapping[str, Any], key: str) -> str:
    """What stands behind a figure that was not measured, as on the command line's bill."""
    if key == "device_hours":
        return _ESTIMATED if _number(line, "estimated_device_ns") else ""
    if key == "energy_kwh":
        return _ESTIMATED if line.get("energy_source") in {"estimated", "mixed"} else ""
    return _ASSUMED if key == "cost" and line.get("cost_source") == "assumed" else ""


def bill_table(bill: Mapping[str, Any]) -> dict[str, Any]:
    """A bill in its JSON shape as `device` (the one that every line used, else ''), its `table`, the total last, the
    `legend` of its marks, and the closing `notes`."""
    kinds = _kinds(bill.get("currency") or "USD")
    total = bill.get("total") or {}
    devices = {(line.get("devices", 1), line.get("device") or "") for line in bill["lines"]}
    one = len(devices) == 1
    rows = []
    for line in [*bill["lines"], total]:
        name = "Total" if line is total else stage_name(str(line.get("stage", "")))
        if line.get("stage") == "startup" and line.get("section") not in {None, "training"}:
            name += f" ({line['section']})"
        cells = [name]
        if not one:
            cells.append("" if line is total else f"{line.get('devices', 1)} × {line.get('device')}")
        for key, _, write in kinds:
            value = _number(line, key)
            shown = value is not None and (value or key in {"device_hours", "cost"})
            cells.append(write(value) + _mark(line, key) if value is not None and shown else "–")
        rows.append(cells)
    date = bill.get("price_date")
    money = f"Prices in {bill.get('currency') or 'USD'}, of {date}." if date else "No price is known for this device."
    marks = [f"{mark} {word}" for mark, word in _MARKS.items() if any(mark in cell for row in rows for cell in row[2:])]
    head = ["Stage", *([] if one else ["Device"]), *(label for _, label, _ in kinds)]
    count, device = next(iter(devices)) if one else (0, "")
    return {
        "device": f"{total.get('devices', count)} × {device}" if device else "",
        "table": Table("The bill", head, rows, total=True),
        "legend": f"Measured, but for {', '.join(marks)}." if marks else "Everything is measured.",
        "notes": [money, *(f"{str(note)[:1].upper()}{str(note)[1:]}." for note in bill.get("notes") or [])],
    }


def plan_table(bill: Mapping[str, Any]) -> Table | None:
    """Planned, actual and their ratio of every figure known on both sides, whole and by stage; None without a plan."""
    plan = bill.get("plan") or {}
    planned, actual = plan.get("predicted") or {}, plan.get("actual") or {}
    sides = [("", planned, actual)]
    stages = actual.get("stages") or {}
    sides += [(f"{stage_name(stage)}: ", planned["stages"][stage], found) for stage, found in stages.items()]
    rows = []
    for prefix, predicted, booked in sides:
        for key, label, write in _kinds(bill.get("currency") or "USD"):
            before, after = _number(predicted, key), _number(booked, key)
            if before is not None and after is not None:
                name = f"{prefix}{label[0].lower() + label[1:] if prefix and label != 'MFU' else label}"
                rows.append((name, write(before), write(after), f"{after / before:.2f}" if before else "–"))
    rows = _times(planned, actual) + rows
    return Table("Plan against actual", ["", "plan", "actual", "actual over plan"], rows) if rows else None


def _times(planned: Mapping[str, Any], actual: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The time as forecast at first, and once more after some seconds, each with the interval it was said to lie in."""
    took, rows = _number(actual, "seconds"), []
    corrected = planned.get("corrected") or {}
    for label, said in (
        ("Time", planned),
        (f"Time, forecast after {corrected.get('after_seconds', 0):.0f} s", corrected),
    ):
        before = _number(said, "seconds")
        if before and took is not None and said_between(said):
            ratio = f"{took / before:.2f}{said_between(said)}"
            rows.append((label, units.format_duration(before), units.format_duration(took), ratio))
    return rows
