"""The curves as a picture: held-out loss over training FLOPs, ends of runs as points, their way there as thin lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from centime.charts.draw import chart_file
from centime.charts.kinds import Line, LineChart
from versus.account import Run
from versus.arms import Arm

NAMES = {"dense": "dense, multi-head attention", "mixture": "mixture of experts, latent attention"}
ABOVE = 0.35  # nats of the plot above the highest end of a run


def draw(arms: dict[str, Arm], runs: dict[str, list[Run]], found: dict[str, Any], out: Path) -> None:
    """Write the picture to `out`, an SVG file."""
    highest = max(mean for name in arms for _, mean, _ in found["arms"][name]["ends"]) + ABOVE
    lines = []
    for tone, (name, arm) in enumerate(arms.items()):
        unit = runs[name][0]["tokens_per_step"] * arm.flops_per_token / 1e12
        ends = [(steps * unit, mean, spread) for steps, mean, spread in found["arms"][name]["ends"]]
        ways = [
            [(steps * unit, loss) for steps, loss in run["curve"] if steps and loss < highest] for run in runs[name]
        ]
        active, total = arm.counts.active_matmul_params / 1e6, arm.counts.total_params / 1e6
        said = f"{NAMES[name]} ({active:.2f} M active of {total:.1f} M)"
        points = [(x, mean) for x, mean, _ in ends]
        spreads = [(x, mean - spread, mean + spread) for x, mean, spread in ends]
        lines += [Line("", way, tone=tone, faint=True) for way in ways]
        lines += [Line(said, points, tone=tone), Line("", points, spreads, dots=True, tone=tone)]
    title = "Loss over training"
    if found["flop_ratio"] is not None:
        title = f"The dense model's final loss for {found['flop_ratio']:.2f} of its FLOPs"
    chart = LineChart(
        title,
        "held-out loss, nats a token",
        "training FLOPs, 10¹²",
        lines,
        lambda loss: f"{loss:.3f}",
        log_x=True,
        level=(found["target_loss"], ""),
        from_zero=False,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(chart_file(chart), encoding="utf-8")
