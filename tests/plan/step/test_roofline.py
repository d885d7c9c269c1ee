"""No figure lies above the chip's roofline, whatever the constants say."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.catalogue.chips import chip, chip_names
from centime.catalogue.models import architecture
from centime.plan.step.cost import StepCost
from centime.plan.step.efficiency import FILE, Constants, TrainingSoftware, fitted, rates
from centime.plan.step.intervals import step_interval
from centime.plan.step.job import Job, roofline_seconds
from centime.plan.step.layout import Layout

CHIPS = [name for name in chip_names() if chip(name).bf16_tflops]
MODELS = ["Llama-3.1-8B", "DeepSeek-V3", "GPT-OSS-120B", "Gemma-4-31B-IT", "8B,attention=mha", "16B-A3B", "300B-A9B"]
GENEROUS = replace(
    fitted(),
    **{field.name: 3.0 for field in fields(Constants) if field.name.startswith(("gemm_fp8", "gemm_mx", "gemm_nv"))},
    gemm=4.0,
    memory=3.0,
    scaleup=5.0,
    scaleout=5.0,
    attention_blackwell=9.0,
    attention_other_tuned=9.0,
    gemm_expert=5.0,
)


@pytest.mark.parametrize("constants", [fitted(), GENEROUS])
@pytest.mark.parametrize("precision", ["bf16", "fp8", "mxfp8", "nvfp4"])
@pytest.mark.parametrize("name", CHIPS)
def test_no_rate_is_above_its_peak(name: str, precision: str, constants: Constants) -> None:
    device = chip(name)
    for year in (2021.5, 2026.6):
        found = rates(device, precision, TrainingSoftware(year), constants)
        assert found.gemm <= device.peak(precision)
        assert found.gemm * found.expert <= device.peak(precision)
        assert max(found.gemm_bf16, found.attention) <= device.peak("bf16")
        assert found.memory <= (device.memory_tb_s or 0.0) * 1e12
        assert found.scaleup <= 1e9 * (device.scaleup_gb_s or device.scaleout_gb_s or 1.0)
        assert found.scaleout <= 1e9 * (device.scaleout_gb_s or device.scaleup_gb_s or 1.0)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(CHIPS),
    st.sampled_from(MODELS),
    st.sampled_from([Layout(64), Layout(64, zero=3), Layout(64, tp=4, pp=4), Layout(64, cp=2, ep=32, micro_batch=4)]),
    st.integers(9, 15),
    st.sampled_from([fitted(), GENEROUS]),
    st.sampled_from(["bf16", "fp8"]),
)
def test_no_step_is_shorter_than_its_arithmetic(
    device: str, model: str, layout: Layout, length: int, constants: Constants, precision: str
) -> None:
    found = chip(device)
    form = precision if found.fp8_tflops else "bf16"
    job = Job(architecture(model), found, 2**length, 256, form, TrainingSoftware(2026.5))
    times = StepCost(job, constants).times(layout)
    least = roofline_seconds(job, layout.gpus)
    assert times.total > least
    fast, slow = step_interval(job, layout, times)
    assert least <= times.total * fast * (1 + 1e-9) <= times.total * slow


def test_the_roofline_by_hand() -> None:
    """A token of Llama-3.1-8B: 7.5 billion parameters in products, a head of half a billion, and the attention."""
    device = chip("h100")
    job = Job(architecture("Llama-3.1-8B"), device, 8192, 8, "fp8", TrainingSoftware(2026.5))
    products, head = 2 * 6.979e9, 2 * 128256 * 4096
    attention = 32 * 4 * 4096 * 8192 / 2
    token = products / device.peak("fp8") + (head + attention) / device.peak("bf16")
    assert roofline_seconds(job, 8) == pytest.approx(3 * token * 8192, rel=0.001)


def test_the_file_tells_what_each_constant_was_pulled_to():
    told = json.loads(FILE.read_text(encoding="utf-8"))["constants"]
    assert {name: told[name]["prior"] for name in told} == asdict(Constants())
