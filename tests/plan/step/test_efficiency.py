"""What a chip reaches by precision, generation and date, constant by constant."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.plan.step.efficiency import (
    FUSED_ATTENTION,
    REFERENCE_YEAR,
    ChipRates,
    Constants,
    TrainingSoftware,
    achievable,
    below_one,
    generation,
    rates,
)

C = Constants(log_gemm_year=0.1, log_host_rack=0.7)
THEN = TrainingSoftware(REFERENCE_YEAR)


def of(name: str, precision: str = "bf16", software: TrainingSoftware = THEN, c: Constants = C) -> ChipRates:
    return rates(chip(name), precision, software, c)


@pytest.mark.parametrize("precision", ["bf16", "fp8", "fp8-row", "mxfp8", "nvfp4"])
def test_where_every_block_has_a_scale_the_host_takes_longer_with_experts_alone(precision: str) -> None:
    plain, found = of("b200"), of("b200", precision)
    blocks = C.host_block if precision in ("mxfp8", "nvfp4") else 1.0
    assert found.host_expert_s == pytest.approx(blocks * C.host_expert * 1e-6)
    assert found.host_mixture_s == pytest.approx(blocks * C.host_mixture * 1e-6)
    assert (found.host_site_s, found.host_state_s) == (plain.host_site_s, plain.host_state_s)
    assert found.gemm_bf16 == plain.gemm_bf16


@pytest.mark.parametrize(
    ("name", "factor"), [("h100", 1.0), ("b200", 1.0), ("gb200", math.exp(0.7)), ("tpu v5p", 0.0), ("910c", 1.0)]
)
def test_a_host_is_slow_in_racks_of_blackwell_and_none_where_steps_are_compiled(name: str, factor: float) -> None:
    assert of(name).host_site_s == pytest.approx(C.host_site * 1e-6 * factor)


def test_years_make_hosts_and_products_quicker() -> None:
    later = of("h100", software=TrainingSoftware(REFERENCE_YEAR + 1))
    now = of("h100")
    assert later.host_site_s / now.host_site_s == pytest.approx(math.exp(C.log_host_year))
    assert later.gemm > now.gemm
    still = replace(C, log_gemm_year=0.0)
    assert of("h100", software=TrainingSoftware(REFERENCE_YEAR + 1), c=still).gemm == of("h100", c=still).gemm


@pytest.mark.parametrize(
    ("software", "gradient", "fused"),
    [
        (TrainingSoftware(2024.0), 2.0, True),
        (TrainingSoftware(2023.99), 4.0, True),
        (TrainingSoftware(2026.0, tuned=False), 4.0, True),
        (TrainingSoftware(FUSED_ATTENTION), 4.0, True),
        (TrainingSoftware(FUSED_ATTENTION - 0.01), 4.0, False),
    ],
)
def test_what_software_brings_by_its_date(software: TrainingSoftware, gradient: float, fused: bool) -> None:
    assert (software.gradient_bytes, software.fused_attention) == (gradient, fused)
    assert of("h100", software=software).fused_attention == fused


def test_whole_steps_are_captured_on_blackwell_from_mid_2026_on() -> None:
    before, after, hopper = (
        of(name, software=TrainingSoftware(year)) for name, year in (("b200", 2026.0), ("b200", 2026.8), ("h100", 2030))
    )
    assert before.graph < 1e-4 < 1 - 1e-4 < after.graph
    assert hopper.graph == 0
    assert before.window_passes == pytest.approx(C.window_passes, rel=1e-3)
    assert after.window_passes < 1e-3 * C.window_passes
    assert of("h100", software=TrainingSoftware(2026.0, tuned=False)).window_passes == 0


@pytest.mark.parametrize(("share", "bent"), [(0.5, 0.5), (0.8, 0.78), (1.0, 0.92), (0.0, 0.0), (100.0, 1.0)])
def test_a_share_of_a_peak_never_reaches_it(share: float, bent: float) -> None:
    assert below_one(share) == pytest.approx(bent, abs=0.005)
    assert below_one(share) <= 1


def test_a_chip_without_a_measured_product_reaches_what_its_generation_does() -> None:
    h100, own = chip("h100"), replace(chip("h100"), name="ours", measured_max_bf16_tflops=None)
    assert h100.measured_max_bf16_tflops is not None
    assert achievable(h100) == h100.measured_max_bf16_tflops / 989
    assert 0.5 < achievable(own) < 1
    strange = replace(own, generation="Nobody's", vendor="nobody")
    assert 0.5 < achievable(strange) < 1
    assert [generation(chip(name)) for name in ("gb300", "h100")] == ["blackwell", "hopper"]
