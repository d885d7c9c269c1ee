"""How far a model on a chip is from what was measured: said in a sentence, and the wider the interval for it."""

from __future__ import annotations

import re

import pytest

from centime.catalogue.chips import chip
from centime.plan.serving.interval import distance, interval, nearest_measured, spread


@pytest.mark.parametrize(
    ("model", "on", "far", "says"),
    [
        ("DeepSeek-V3", "h200", "seen", "Measured: DeepSeek-V3 on H200 SXM 141GB"),
        ("Mixtral-8x7B", "h100", "apart", "Mixtral-8x7B on H200 SXM 141GB, and .* on H100 SXM 80GB"),
        ("DeepSeek-V3", "a100 sxm 80gb", "new chip", "DeepSeek-V3 on .*; nothing on A100"),
        ("DeepSeek-V2-Lite", "h100", "new model", "on H100 SXM 80GB; nothing of DeepSeek-V2-Lite"),
        ("DeepSeek-V2-Lite", "a100 sxm 80gb", "neither", "nothing of DeepSeek-V2-Lite, and nothing on A100"),
    ],
)
def test_what_is_nearest_is_said(model: str, on: str, far: str, says: str) -> None:
    kind = chip(on)
    assert distance(model, kind) == far
    assert re.search(says, nearest_measured(model, kind))


def test_the_farther_the_wider() -> None:
    def width(model: str, on: str) -> float:
        low, high = spread(model, chip(on))
        assert low < 1 < high
        return high / low

    seen, apart, neither = (
        width(*case)
        for case in (("DeepSeek-V3", "h200"), ("Mixtral-8x7B", "h100"), ("DeepSeek-V2-Lite", "a100 sxm 80gb"))
    )
    assert seen < apart < neither


def test_a_time_is_long_where_speed_is_low() -> None:
    kind = chip("h200")
    low, high = spread("DeepSeek-V3", kind, "tpot_ms")
    assert interval("DeepSeek-V3", kind, 10.0, "tpot_ms") == pytest.approx((10 / high, 10 / low))
    assert interval("DeepSeek-V3", kind, 10.0, "output_tok_s_per_gpu") == pytest.approx((10 * low, 10 * high))
    first, last = interval("DeepSeek-V3", kind, 10.0, "ttft_ms")
    assert last / first > high / low
