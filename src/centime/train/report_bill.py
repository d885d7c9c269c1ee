"""The bill, and the plan beside it, as rows of text for the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from centime import units

_STAGES = {
    "pretrain": "Pre-training",
    "context": "Context extension",
    "sft": "Post-training",
    "evaluation": "Evaluation",
    "serving": "Serving",
    "total": "Total",
}


def stage_name(stage: str) -> str:
    """The stage as Table 1 of the DeepSeek-V3 report calls it; a repeated stage keeps its number."""
    base, _, number = stage.partition("-")
    return f"{_STAGES[base]} {number}".strip() if base in _STAGES else stage.replace("_", " ").capitalize()


def _number(line: Mapping[str, Any], key: str) -> float | None:
    value = line.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _energy(kwh: float) -> str:
    return f"{kwh:.3g} kWh" if kwh >= 1 else f"{1000 * kwh:.3g} Wh"


def _kinds(currency: str) -> list[tuple[str, str, str, Callable[[float], str]]]:
    """(key, label, key of its source, how it is written) of every figure that a bill line or a plan may hold."""
    return [
        ("device_hours", "Device time", "", lambda hours: units.format_duration(hours * 3600)),
        ("tokens", "Tokens", "", units.format_count),
        ("flops", "Model FLOPs", "", units.format_count),
        ("mfu", "MFU", "", lambda share: f"{100 * share:.1f} %"),
        ("energy_kwh", "Energy", "energy_source", _energy),
        ("cost", "Cost", "cost_source", lambda money: units.format_money(money, currency)),
    ]


def bill_table(bill: Mapping[str, Any]) -> dict[str, Any]:
    """Head, rows of (text, source) cells, the total last, and the closing note of a bill in its JSON shape."""
    kinds = _kinds(bill.get("currency") or "USD")
    rows = []
    for line in [*bill["lines"], {"stage": "total", **(bill.get("total") or {})}]:
        name = stage_name(str(line.get("stage", "")))
        device = line.get("device")
        label = f"{name}, {line.get('devices', 1)} × {device}" if device else name
        cells = [(label, "")]
        for key, _, source, write in kinds:
            value = _number(line, key)
            cells.append(("–", "") if value is None else (write(value), str(line.get(source) or "") if source else ""))
        rows.append(cells)
    date = bill.get("price_date")
    note = f"Prices in {bill.get('currency') or 'USD'} of {date}. " if date else "No price is known for this device. "
    return {
        "head": ["Stage", *(label for _, label, _, _ in kinds)],
        "rows": rows,
        "note": note + "The word beside a figure says where it comes from: measured, estimated or assumed.",
    }


def plan_table(bill: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(label, planned, actual, ratio) for every figure known on both sides; empty without a plan."""
    plan, total = bill.get("plan") or {}, bill.get("total") or {}
    rows = []
    for key, label, _, write in _kinds(bill.get("currency") or "USD"):
        planned, actual = _number(plan, key), _number(total, key)
        if planned is not None and actual is not None:
            rows.append((label, write(planned), write(actual), f"{actual / planned:.2f}" if planned else "–"))
    return rows
