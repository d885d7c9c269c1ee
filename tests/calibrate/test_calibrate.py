"""The parts of a calibration, on this very machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from centime.calibrate.parts import SHAPES, all_to_all, gemm_rates, memory_bytes_per_s, operator_s
from centime.calibrate.steps import fit


def test_rates_of_the_parts_are_those_of_a_machine() -> None:
    cpu = torch.device("cpu")
    for gemm in gemm_rates(cpu, 0.0, SHAPES[:6]):
        assert 1e7 < gemm.flops_per_s < 1e15
    assert 1e8 < memory_bytes_per_s(cpu) < 1e13
    assert 1e-8 < operator_s(cpu) < 1e-2


def test_an_all_to_all_between_two_processes_is_measured() -> None:
    assert 1e4 < all_to_all(2, "gloo", 1 << 16) < 1e13


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_finds_the_factors_that_made_the_steps(seed: int) -> None:
    draw = np.random.default_rng(seed)
    factors = np.exp(draw.normal(0, 0.3, 6))
    raw = np.exp(draw.normal(0, 1, (40, 6)))
    found = fit(raw, raw @ factors * np.exp(draw.normal(0, 0.01, 40)))
    assert np.abs(raw @ found / (raw @ factors) - 1).max() < 0.1
