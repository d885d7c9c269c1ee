"""The curves as a picture: held-out loss over training FLOPs, ends of runs as points, their way there as thin lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from versus.account import Run
from versus.arms import Arm

COLOURS = {"dense": "#8a6d3b", "mixture": "#0b6e8a"}
NAMES = {"dense": "dense, multi-head attention", "mixture": "mixture of experts, latent attention"}


def draw(arms: dict[str, Arm], runs: dict[str, list[Run]], found: dict[str, Any], out: Path) -> None:
    """Write the picture to `out` (.svg or .png, by its name)."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "centime"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    for name, arm in arms.items():
        unit = runs[name][0]["tokens_per_step"] * arm.flops_per_token / 1e12
        for run in runs[name]:
            way = [(steps * unit, loss) for steps, loss in run["curve"] if steps]
            axes.plot(*zip(*way, strict=True), color=COLOURS[name], linewidth=0.6, alpha=0.4)
        ends = found["arms"][name]["ends"]
        axes.errorbar(
            [steps * unit for steps, *_ in ends],
            [mean for _, mean, _ in ends],
            yerr=[spread for *_, spread in ends],
            color=COLOURS[name],
            marker="o",
            markersize=4,
            capsize=2,
            label=f"{NAMES[name]} ({arm.counts.active_matmul_params / 1e6:.2f} M active of "
            f"{arm.counts.total_params / 1e6:.1f} M)",
        )
    axes.axhline(found["target_loss"], color="0.5", linewidth=0.8, linestyle=":")
    if found["flop_ratio"] is not None:
        axes.set_title(f"The dense model's final loss for {found['flop_ratio']:.2f} of its FLOPs", fontsize=11)
    lowest = min(mean for name in arms for _, mean, _ in found["arms"][name]["ends"])
    highest = max(mean for name in arms for _, mean, _ in found["arms"][name]["ends"])
    axes.set_ylim(lowest - 0.05, highest + 0.35)
    axes.set_xscale("log")
    axes.set_xlabel("training FLOPs, 10¹²")
    axes.set_ylabel("held-out loss, nats a token")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None, dpi=150)
    plt.close(figure)
