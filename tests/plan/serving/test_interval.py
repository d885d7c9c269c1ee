"""How far a model on a chip is from what was measured: said in a sentence, and the wider the interval for it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.choice import Lengths, Mixed, cheapest_units
from centime.plan.serving.interval import distance, interval, nearest_measured, spread, spread_of
from centime.plan.serving.roofline import bandwidth, peak
from centime.plan.serving.speeds import ServingSoftware
from centime.plan.serving.units import kv_bytes_per_sequence


@pytest.mark.parametrize(
    ("model", "on", "far", "says"),
    [
        ("DeepSeek-V3", "h200", "seen", "Measured: DeepSeek-V3 on H200 SXM 141GB"),
        ("Mixtral-8x7B", "h100", "apart", r"8x7B on H200 .* \(1.4 x its mem.*\), and .* x its param.*\) on H100"),
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


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """A chip that nobody makes."""
    bf16 = draw(st.floats(20.0, 5000.0))
    return replace(
        chip(draw(st.sampled_from(["h100", "mi300x", "tpu v5e", "rtx 4090", "910c"]))),
        name="none",
        bf16_tflops=bf16,
        fp8_tflops=draw(st.sampled_from([None, bf16, 2 * bf16])),
        fp4_tflops=None,
        memory_gb=draw(st.floats(12.0, 400.0)),
        memory_tb_s=draw(st.floats(0.2, 20.0)),
        scaleup_domain=draw(st.sampled_from([1, 2, 8, 72])),
    )


SIZES = ["1B", "8B", "70B", "16B-A3B", "235B-A22B", "671B-A37B,attention=mla"]


@settings(max_examples=40, deadline=None)
@given(
    chips(),
    st.sampled_from(SIZES),
    st.sampled_from(["bf16", "fp8"]),
    st.floats(16.0, 30_000.0),
    st.floats(16.0, 8000.0),
    st.floats(0.0, 0.9),
    st.floats(0.01, 1.0),
)
def test_no_end_of_an_interval_is_beyond_what_the_chips_can_reach(
    kind: Chip, size: str, form: str, isl: float, osl: float, hit: float, tpot_s: float
) -> None:
    """Whatever the model, the chip, the load and the limits: FLOPs of the tokens at the peak, bytes of the cache at the
    memory's rate, and so the highest figure that is shown."""
    arch, lengths = architecture(size), Lengths(isl, osl, hit)
    try:
        choice = cheapest_units(arch, kind, form, lengths, 30.0, tpot_s, ServingSoftware())
    except UserError:
        return  # does not fit, or is too slow
    low, high = spread_of(choice, lengths, arch.name)
    assert low <= 1 <= high
    fastest = osl / choice.gpu_seconds(lengths) * high  # output tokens a second and chip
    engine = (choice if isinstance(choice, Mixed) else choice.decode).engine
    layers = engine.model.layers
    params = sum(n.repeat * (n.mixer_params + n.dense_params + n.top_k * n.expert_params) for n in layers)
    top = max(peak(kind, engine.form.dense_compute), peak(kind, engine.form.expert_compute))
    tokens = 1 + isl * (1 - hit) / osl
    assert fastest * tokens * 2 * params <= top * (1 + 1e-6)
    groups = engine.unit.chips / engine.unit.dp  # chips that share a cache
    cache = kv_bytes_per_sequence(engine.model, engine.unit, engine.form, isl + osl / 2)
    assert fastest * groups * cache <= bandwidth(kind) * (1 + 1e-6)
