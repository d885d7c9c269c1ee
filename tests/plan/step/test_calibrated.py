"""Steps on a calibrated machine: monotone in work and in the machine's rates; products are counted exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.machine import AttentionRate, GemmRate, MachineProfile, MuonRate
from centime.catalogue.presets import from_depth, preset
from centime.plan.counts import count
from centime.plan.step.calibrated import Step, predict, products, step_parts


def machine(speed: float = 1.0, memory: float = 1e10) -> MachineProfile:
    shapes = [(64, 128, 64), (512, 128, 512), (2048, 512, 2048)]
    gemms = [
        GemmRate(dtype, m, k, n, speed * 1e9 * (m * k * n) ** 0.2) for dtype in ("bf16", "fp32") for m, k, n in shapes
    ]
    attention = [AttentionRate(s, 4, 48, 32, speed * 1e10) for s in (128, 1024)]
    muon = [MuonRate(short, 2 * short, speed * 1e10) for short in (64, 256)]
    return MachineProfile(
        "cpu", 2, "2026-11-24T00:00:00+00:00", "2.13.0", "bf16", memory, 2e-6, gemms, attention, muon, [], []
    )


def seconds(profile: MachineProfile, depth: int = 3, sequence: float = 128, rows: float = 8, **more: object) -> float:
    return sum(predict(profile, step_parts(profile, from_depth(depth), Step(sequence, rows, **more))).values())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["centime-d2", "centime-d5", "deepseek-v3", "deepseek-v2-lite"])
def test_the_products_are_the_models_flops(name: str) -> None:
    config = preset(name)
    tokens = 4096.0 * (config.n_routed_experts or 1)  # every expert has whole rows
    flops = sum(2 * m * k * n * times for m, k, n, times in products(config, tokens)) / tokens
    assert flops == pytest.approx(2 * count(config).active_matmul_params, rel=1e-9)


@given(st.floats(1.0, 4.0), st.integers(2, 8), st.floats(16, 2048), st.floats(1, 64))
def test_a_faster_machine_is_never_slower_and_more_work_never_quicker(
    times: float, depth: int, sequence: float, rows: float
) -> None:
    base = seconds(machine(), depth, sequence, rows)
    assert seconds(machine(speed=times), depth, sequence, rows) <= base
    assert seconds(machine(memory=1e10 * times), depth, sequence, rows) <= base
    assert seconds(machine(), depth + 1, sequence, rows) > base
    assert seconds(machine(), depth, sequence, rows, optimizer="muon") > base


def test_factors_scale_their_part_alone() -> None:
    profile = machine()
    raw = step_parts(profile, from_depth(2), Step(128, 8, 2, "muon", "5"))
    doubled = predict(replace(profile, factors={"attention": 2.0}), raw)
    assert doubled == raw | {"attention": 2 * raw["attention"]}


def test_each_part_follows_one_measured_rate_and_numbers_are_as_wide_as_the_machine_computes() -> None:
    profile, shape, step = machine(), preset("centime-d5"), Step(256, 4, 3, "muon", "5", mtp=True)
    raw = step_parts(profile, shape, step)
    at_rates = {
        ("products",): {"gemms": [replace(one, flops_per_s=2 * one.flops_per_s) for one in profile.gemms]},
        ("attention",): {"attention": [replace(one, flops_per_s=2 * one.flops_per_s) for one in profile.attention]},
        ("muon",): {"muon": [replace(one, flops_per_s=2 * one.flops_per_s) for one in profile.muon]},
        ("element-wise", "vocabulary", "update"): {"memory_bytes_per_s": 2 * profile.memory_bytes_per_s},
        ("operators",): {"operator_s": profile.operator_s / 2},
    }
    for parts, twice in at_rates.items():
        faster = step_parts(replace(profile, **twice), shape, step)  # type: ignore[arg-type]
        assert faster == pytest.approx(raw | {part: raw[part] / 2 for part in parts})
    wide = step_parts(replace(profile, dtype="fp32"), shape, step)
    assert wide == pytest.approx(raw | {"element-wise": 2 * raw["element-wise"]})
