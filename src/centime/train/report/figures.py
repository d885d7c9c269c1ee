"""The report's curves: which a run has, in which chart, and how their values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from centime import units
from centime.ledger.billing import stage_name
from centime.train.report.charts import Chart, Format, Point, Series
from centime.train.report.read import Record, Run


@dataclass(frozen=True)
class Figure:
    """Charts under one caption: one, or one a stage where stages share no scale. `panels` are (stage or '', chart)."""

    title: str
    unit: str
    panels: list[tuple[str, Chart]]


def is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _points(records: Sequence[Record], key: str) -> list[Point]:
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


def figures_of(run: Run) -> list[Figure]:
    """Every curve for which the run has numbers."""
    currency = (run.bill or {}).get("currency") or "USD"

    def money(value: float, digits: int = 3) -> str:
        return units.format_money(value, currency)

    losses, imbalance = {"main_loss": "next token", "mtp_loss": "MTP"}, "most loaded expert over the mean, minus 1"
    level = _planned_cost(run.bill)
    every = [
        Figure("Loss", "nats per token", _by_stage(run, "Loss", "nats per token", losses, "eval_loss")),
        _whole(run, "Bits per byte", "of text", {"bits_per_byte": "training"}, decimal, "eval_bits_per_byte"),
        _whole(run, "Learning rate", "per step", {"lr": "learning rate"}, _scientific, from_zero=True),
        _whole(run, "Gradient norm", "before clipping", {"grad_norm": "gradient norm"}, decimal),
        _whole(run, "Speed", "tokens per second", {"tokens_per_s": "tokens per second"}, count_of, from_zero=True),
        _whole(run, "MFU", "model FLOPs over the device's peak", {"mfu": "MFU"}, _percent, from_zero=True),
        _whole(run, "Expert imbalance", imbalance, {"max_violation": "imbalance"}, decimal, from_zero=True),
        _whole(run, "Money spent", currency, {"cost": "spent"}, money, from_zero=True, level=level),
    ]
    return [f for f in every if any(chart.series for _, chart in f.panels)]


def _series(
    steps: Sequence[Record], evaluations: Sequence[Record], lines: Mapping[str, str], evaluation: str
) -> list[Series]:
    """A line a key of the steps, dots for the key of the evaluations; what was never recorded is left out."""
    series = [Series(name, _points(steps, key), i) for i, (key, name) in enumerate(lines.items())]
    if evaluation:
        series.append(Series("held-out", _points(evaluations, evaluation), tone=2, dots=True))
    return [s for s in series if s.points]


def _whole(
    run: Run,
    title: str,
    unit: str,
    lines: Mapping[str, str],
    format_y: Format,
    evaluation: str = "",
    from_zero: bool = False,
    level: tuple[float, str] | None = None,
) -> Figure:
    """One chart over all stages, with a mark where each begins."""
    span = (0.0, float(run.steps[-1]["tokens"])) if run.steps else None
    series = _series(run.steps, run.evaluations, lines, evaluation)
    chart = Chart(title, unit, series, format_y, count_of, "tokens", run.starts, level, span, from_zero)
    return Figure(title, unit, [("", chart)])


def _by_stage(run: Run, title: str, unit: str, lines: Mapping[str, str], evaluation: str) -> list[tuple[str, Chart]]:
    """A chart a stage, each with its own scale, against the tokens of that stage: what fine-tuning does to the loss of
    short answers would leave pre-training a flat line."""
    panels = []
    for start, stage in run.stages:
        own, seen = (
            [r | {"tokens": r["tokens"] - start} for r in records if r["stage"] == stage]
            for records in (run.steps, run.evaluations)
        )
        series = _series(own, seen, lines, evaluation)
        name = stage_name(stage) if run.starts else ""
        if series:
            span = (0.0, float(own[-1]["tokens"]))
            full = f"{title}, {name}" if name else title
            panels.append((name, Chart(full, unit, series, decimal, count_of, span=span)))
    return panels


def _planned_cost(bill: Mapping[str, Any] | None) -> tuple[float, str] | None:
    cost: Any = (((bill or {}).get("plan") or {}).get("predicted") or {}).get("cost")
    return (float(cost), "plan") if is_finite(cost) else None


def legend_of(figure: Figure) -> list[tuple[int, str, bool]]:
    """(tone, name, dots) of each series of any panel; one series needs none, its title says it."""
    every = dict.fromkeys((s.tone, s.name, s.dots) for _, chart in figure.panels for s in chart.series)
    return list(every) if len(every) > 1 else []


def table_of(chart: Chart) -> tuple[list[str], list[list[str]]]:
    """Head and about a dozen rows of the chart's numbers, for those who read rather than look."""
    longest = max(chart.series, key=lambda s: len(s.points)).points
    rows = sorted({round(i * (len(longest) - 1) / 11) for i in range(12)})
    values = [dict(s.points) for s in chart.series]
    return (
        [chart.x_title, *(s.name for s in chart.series)],
        [
            [
                chart.format_x(longest[i][0]),
                *(chart.format_y(v[longest[i][0]]) if longest[i][0] in v else "–" for v in values),
            ]
            for i in rows
        ],
    )
