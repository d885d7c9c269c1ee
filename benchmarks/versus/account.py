"""From finished runs to the answer: what each arm spends to reach the dense model's final held-out loss."""

from __future__ import annotations

import math
import statistics
from typing import Any

from versus.arms import ARMS, Arm

Run = dict[str, Any]


def best_lr(runs: list[Run], end: int) -> tuple[float, list[tuple[float, float]]]:
    """(the learning rate with the lowest held-out loss at `end` steps, every (rate, loss) of the sweep)."""
    swept = sorted((run["lr"], dict(run["ends"])[end]) for run in runs)
    return min(swept, key=lambda pair: pair[1])[0], swept


def mean_ends(runs: list[Run]) -> list[tuple[int, float, float]]:
    """(steps, mean loss, half the range) at every end that all the runs have."""
    ends = [dict(run["ends"]) for run in runs]
    shared = sorted(set.intersection(*(set(found) for found in ends)))
    return [
        (steps, statistics.fmean(losses), (max(losses) - min(losses)) / 2)
        for steps in shared
        for losses in [[found[steps] for found in ends]]
    ]


def steps_to(loss: float, ends: list[tuple[int, float]]) -> float | None:
    """Steps a run needs to end at `loss`: log steps interpolated linearly in loss between two ends.

    None if no end is as low; the first end's steps if that one already is (then it is an upper bound).
    """
    before: tuple[int, float] | None = None
    for steps, found in sorted(ends):
        if found <= loss:
            if before is None:
                return float(steps)
            share = (before[1] - loss) / (before[1] - found)
            return math.exp(math.log(before[0]) + share * (math.log(steps) - math.log(before[0])))
        before = (steps, found)
    return None


def summary(arms: dict[str, Arm], runs: dict[str, list[Run]], seconds: dict[str, float] | None) -> dict[str, Any]:
    """What `--json` prints; `runs` are those of the seeds at each arm's best rate, `seconds` a step's, by arm.

    Seeds are paired: the same seed is the same text in the same order.
    """
    dense, mixture = (arms[name] for name in ARMS)
    target_steps = max(steps for steps, *_ in mean_ends(runs["dense"]))
    flop_ratios: list[float | None] = []
    for base, run in zip(runs["dense"], runs["mixture"], strict=True):
        reached = steps_to(dict(base["ends"])[target_steps], [(steps, loss) for steps, loss in run["ends"]])
        spent = None if reached is None else reached / target_steps * mixture.flops_per_token / dense.flops_per_token
        flop_ratios.append(spent)
    tokens = target_steps * runs["dense"][0]["tokens_per_step"]
    found: dict[str, Any] = {
        "dense_tokens": tokens,
        "target_loss": statistics.fmean(dict(run["ends"])[target_steps] for run in runs["dense"]),
        "flop_ratio_by_seed": flop_ratios,
        "flop_ratio": None if None in flop_ratios else statistics.fmean(x for x in flop_ratios if x is not None),
        "arms": {
            arm.name: {
                "total_params": arm.counts.total_params,
                "active_params": arm.counts.active_matmul_params,
                "flops_per_token": arm.flops_per_token,
                "tokens_per_active_param": tokens / arm.counts.active_matmul_params,
                "kv_bytes_per_token": arm.counts.kv_bytes_per_token,
                "lr": runs[arm.name][0]["lr"],
                "ends": mean_ends(runs[arm.name]),
            }
            for arm in (dense, mixture)
        },
    }
    if seconds is not None and found["flop_ratio"] is not None:
        per_token = seconds["mixture"] / seconds["dense"]
        tokens_ratio = found["flop_ratio"] * dense.flops_per_token / mixture.flops_per_token
        found |= {"step_seconds": seconds, "time_ratio": tokens_ratio * per_token}
    return found
