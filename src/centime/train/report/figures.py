"""The report's curves: which a run has, in which chart, and how their values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from centime import units
from centime.charts.kinds import Digits, Line, LineChart
from centime.ledger.billing import stage_name
from centime.train.report.read import Record, RecordedRun


@dataclass(frozen=True)
class ReportFigure:
    """Charts under one caption: one, or one a stage where stages share no scale. `panels` are (stage or '', chart)."""

    title: str
    panels: list[tuple[str, LineChart]]


def is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _points(records: Sequence[Record], key: str) -> list[tuple[float, float]]:
    """(tokens, value) wherever `key` was recorded as a finite number."""
    return [(float(r["tokens"]), float(r[key])) for r in records if is_finite(r.get(key))]


def decimal(value: float, digits: int = 4) -> str:
    """So many significant digits; powers of ten where zeros would fill the line."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return _scientific(value, digits - 1)
    return units.format_number(value, digits)


def _scientific(value: float, digits: int = 2) -> str:
    """0.0015 -> '1.5e-3'."""
    if not value:
        return "0"
    number, _, power = f"{value:.{digits}e}".partition("e")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}e{int(power)}"


def count_of(value: float, digits: int = 3) -> str:
    """A count for a tick: 1.5 M, not 1.50 M."""
    number, _, scale = units.format_count(value, max(3, digits)).partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {scale}".strip()


def _percent(value: float, digits: int = 3) -> str:
    return f"{units.format_number(100 * value, digits)} %"


def figures_of(run: RecordedRun) -> list[ReportFigure]:
    """Every curve for which the run has numbers."""
    currency = (run.bill or {}).get("currency") or "USD"

    def money(value: float, digits: int = 3) -> str:
        return units.format_money(value, currency)

    losses, imbalance = {"main_loss": "next token", "mtp_loss": "MTP"}, "most loaded expert over the mean, minus 1"
    loss = _axes("Loss", "nats per token", decimal)
    every = [
        ReportFigure("Loss", _by_stage(run, loss, losses, "eval_loss")),
        _whole(run, _axes("Bits per byte", "bits per byte of text", decimal), "bits_per_byte", "eval_bits_per_byte"),
        _whole(run, _axes("Accuracy", "share of answers right", _percent, from_zero=True), "right", "eval_accuracy"),
        _whole(run, _axes("Reward", "mean of a step", decimal), "reward"),
        _whole(run, _axes("Length of answers", "tokens", decimal, from_zero=True), "length", "eval_length"),
        _whole(run, _axes("Groups without a signal", "share", _percent, from_zero=True), "silent"),
        _whole(run, _axes("Entropy", "nats per token", decimal, from_zero=True), "entropy"),
        _whole(run, _axes("Mismatch of sampling", "nats per token", decimal, from_zero=True), "mismatch_kl"),
        _whole(run, _axes("Learning rate", "per step", _scientific, from_zero=True), "lr"),
        _whole(run, _axes("Gradient norm", "before clipping", decimal), "grad_norm"),
        _whole(run, _axes("Speed", "tokens per second", count_of, from_zero=True), "tokens_per_s"),
        _whole(run, _axes("MFU", "model FLOPs over the device's peak", _percent, from_zero=True), "mfu"),
        _whole(run, _axes("Expert imbalance", imbalance, decimal, from_zero=True), "max_violation"),
        _whole(run, _axes("Money spent", currency, money, from_zero=True, level=_planned_cost(run.bill)), "cost"),
    ]
    return [f for f in every if any(chart.lines for _, chart in f.panels)]


def _axes(
    title: str, unit: str, write: Digits, *, from_zero: bool = False, level: tuple[float, str] | None = None
) -> LineChart:
    """A chart against tokens without its lines. y begins at zero, or is logarithmic where values lie far apart."""
    return LineChart(
        title,
        unit,
        "tokens",
        (),
        write,
        count_of,
        log_y=False if from_zero else None,
        from_zero=from_zero,
        level=level,
        digits_x=count_of,
        digits_y=write,
    )


def _lines(
    steps: Sequence[Record], evaluations: Sequence[Record], keys: Mapping[str, str], evaluation: str
) -> list[Line]:
    """A line a key of the steps, dots for the key of the evaluations; what was never recorded is left out."""
    lines = [Line(name, _points(steps, key), tone=i) for i, (key, name) in enumerate(keys.items())]
    if evaluation:
        lines.append(Line("held-out", _points(evaluations, evaluation), dots=True, tone=2))
    return [line for line in lines if line.points]


def _whole(run: RecordedRun, axes: LineChart, key: str, evaluation: str = "") -> ReportFigure:
    """One chart over all stages, with a mark where each begins."""
    name = "training" if evaluation else axes.title.lower()
    span = (0.0, float(run.steps[-1]["tokens"])) if run.steps else None
    lines = _lines(run.steps, run.evaluations, {key: name}, evaluation)
    return ReportFigure(axes.title, [("", replace(axes, lines=lines, span=span, marks=run.starts))])


def _by_stage(
    run: RecordedRun, axes: LineChart, keys: Mapping[str, str], evaluation: str
) -> list[tuple[str, LineChart]]:
    """A chart a stage, each with its own scale, against the tokens of that stage: what fine-tuning does to the loss of
    short answers would leave pre-training a flat line."""
    panels = []
    for start, stage in run.stages:
        own, seen = (
            [r | {"tokens": r["tokens"] - start} for r in records if r["stage"] == stage]
            for records in (run.steps, run.evaluations)
        )
        lines = _lines(own, seen, keys, evaluation)
        name = stage_name(stage) if run.starts else ""
        if lines:
            title = f"{axes.title}, {name}" if name else axes.title
            panels.append((name, replace(axes, title=title, lines=lines, span=(0.0, float(own[-1]["tokens"])))))
    return panels


def _planned_cost(bill: Mapping[str, Any] | None) -> tuple[float, str] | None:
    cost: Any = (((bill or {}).get("plan") or {}).get("predicted") or {}).get("cost")
    return (float(cost), "plan") if is_finite(cost) else None
