"""What a run's own folder knows of its training, for a bill whose ledger never saw it: it was booked elsewhere."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.json_files import read_object, whole_lines
from centime.units import format_count, format_device_time, format_money, plural

MOST_LINES = 10_000_000  # of metrics.jsonl that are read: a run of a thousand days at a step every ten seconds


def training_elsewhere(folder: Path, named: str) -> str | None:
    """A sentence on the training in `folder`, called `named`, as run.json and metrics.jsonl tell it; None without it.

    A line cut short by a kill counts for nothing, and a step that was done again counts as last done.
    """
    steps = _steps(folder / "metrics.jsonl")
    if not steps:
        return None
    seconds = sum(_number(record, "seconds") or 0.0 for record in steps)
    tokens = max((_number(record, "tokens") or 0.0 for record in steps), default=0.0)
    cost, currency = _number(steps[-1], "cost"), steps[-1].get("currency")
    known = [
        plural(len(steps), "step"),
        f"{format_count(tokens)} tokens",
        f"{format_device_time(seconds)} in the steps",
    ]
    if cost is not None and isinstance(currency, str):
        known.append(f"{format_money(cost, currency)} up to the last of them")
    return (
        f"this ledger has no training of {named}; its own metrics.jsonl and run.json say: {', '.join(known)}"
        f"{_device(folder / 'run.json')}. For that bill set CENTIME_HOME to the ledger it was trained with, or "
        "name the folder it had then"
    )


def _steps(path: Path) -> list[dict[str, Any]]:
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    try:
        for record in islice(whole_lines(path), MOST_LINES):
            if "loss" in record:
                found[str(record.get("stage")), str(record.get("step"))] = record
    except OSError:
        return []
    return list(found.values())


def _device(path: Path) -> str:
    try:
        of = read_object(path)
    except (UserError, OSError):
        return ""
    device, ranks = of.get("device"), of.get("ranks")
    if not isinstance(device, dict) or not isinstance(device.get("name"), str):
        return ""
    vcpus = _number(device, "vcpus")
    size = f" ({vcpus:.0f} vCPU)" if vcpus else ""
    return f", on {ranks if isinstance(ranks, int) else 1} x {device['name']}{size}"


def _number(record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and value is not None else None
