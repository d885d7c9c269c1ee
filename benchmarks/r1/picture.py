"""The working that grows because it pays: accuracy and length over the steps of the reinforcement, as two pictures."""

from __future__ import annotations

import json
from pathlib import Path

from centime.charts.draw import chart_file
from centime.charts.kinds import Line, LineChart


def draw(runs: list[Path], out: Path) -> list[Path]:
    """Writes accuracy.svg and length.svg from the metrics of runs of reinforcement, a thin line each and their mean."""
    records = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs]
    steps = [[one for one in found if "reward" in one] for found in records]
    asked = [[one for one in found if "eval_accuracy" in one] for found in records]
    return [
        _chart(
            out / "accuracy.svg",
            "Right answers over the steps of the reinforcement",
            "right, %",
            [
                ("the likeliest answers to held-out problems", _points(asked, "eval_accuracy", 100)),
                ("drawn answers to training problems", _points(steps, "right", 100)),
            ],
        ),
        _chart(
            out / "length.svg",
            "Length of an answer over the steps of the reinforcement",
            "tokens an answer",
            [
                ("the likeliest answers to held-out problems", _points(asked, "eval_length", 1)),
                ("drawn answers to training problems", _points(steps, "length", 1)),
            ],
        ),
    ]


def _points(runs: list[list[dict[str, float]]], key: str, times: float) -> list[list[tuple[float, float]]]:
    return [[(one["step"], times * one[key]) for one in run] for run in runs]


def _chart(path: Path, title: str, unit: str, drawn: list[tuple[str, list[list[tuple[float, float]]]]]) -> Path:
    lines = []
    for tone, (name, runs) in enumerate(drawn):
        if len(runs) > 1:
            lines += [Line("", run, tone=tone, faint=True) for run in runs]
        lines.append(Line(name, _mean(runs), tone=tone))
    chart = LineChart(
        title, unit, "steps", lines, lambda value: f"{value:.1f}", lambda step: f"{step:.0f}", from_zero=True
    )
    path.write_text(chart_file(chart), encoding="utf-8")
    return path


def _mean(runs: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Where all runs have a point: the mean of them."""
    at = [dict(run) for run in runs]
    common = sorted(set(at[0]).intersection(*at[1:]))
    return [(step, sum(one[step] for one in at) / len(at)) for step in common]
