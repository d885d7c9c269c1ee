"""The comparison of optimizers: small whole runs, kept and not made again, and an account that reads them right."""

from __future__ import annotations

import pytest


def test_an_optimizer_that_gets_there_in_half_the_steps() -> None:
    from muon_versus_adamw import summary

    def outcome(runs: list[list[list[float]]]) -> dict[str, object]:
        return {"losses": [run[-1][1] for run in runs], "runs": runs}

    slow = [[[100, 3.0], [200, 2.0]], [[100, 3.1], [200, 2.2]]]
    fast = [[[100, 2.0], [200, 1.5]], [[100, 2.2], [200, 1.6]]]
    made = summary({"adamw": outcome(slow), "muon": outcome(fast)}, 200)["optimizers"]
    assert made["muon"]["step_ratios"] == pytest.approx([0.5, 0.5])
    assert made["muon"]["gain"] == pytest.approx((0.5 + 0.6) / 2)
    assert made["adamw"]["step_ratios"] == pytest.approx([1.0, 1.0])
    assert made["adamw"]["gain"] == 0
    worse = summary({"adamw": outcome(fast), "muon": outcome(slow)}, 200)["optimizers"]["muon"]
    assert worse["step_ratios"] == [None, None]
    assert worse["gain"] < 0
