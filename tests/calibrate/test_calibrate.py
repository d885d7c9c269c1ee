"""The parts of a calibration, on this very machine."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from centime.calibrate.parts import SHAPES, all_to_all, gemm_rates, memory_bytes_per_s, operator_s
from centime.calibrate.steps import fit


class Dispatched(TorchDispatchMode):
    """Counts the operators that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_rates_of_the_parts_are_those_of_a_machine() -> None:
    cpu = torch.device("cpu")
    for gemm in gemm_rates(cpu, 0.0, SHAPES[:6]):
        assert 1e4 < gemm.flops_per_s < 1e15
    assert 1e5 < memory_bytes_per_s(cpu) < 1e13
    with Dispatched() as seen:
        assert 1e-8 < operator_s(cpu) < 1.0
    assert seen.names["add_"] >= 400, "a hundred to warm up, and three hundred that are timed"
    assert seen.names["add_"] % 100 == 0


def test_an_all_to_all_between_two_processes_is_measured() -> None:
    assert 1e4 < all_to_all(2, "gloo", 1 << 16) < 1e13


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_finds_the_factors_that_made_the_steps(seed: int) -> None:
    draw = np.random.default_rng(seed)
    factors = np.exp(draw.normal(0, 0.3, 6))
    raw = np.exp(draw.normal(0, 1, (40, 6)))
    found = fit(raw, raw @ factors * np.exp(draw.normal(0, 0.01, 40)))
    assert np.abs(raw @ found / (raw @ factors) - 1).max() < 0.1


def test_a_part_that_steps_do_not_tell_apart_is_drawn_to_the_level_of_all() -> None:
    """Steps of 1, 1 and 8 s of the first part alone: least squares of logarithms with a fiftieth of a step at 1."""
    first, unseen = fit(np.array([[1.0, 0.0]] * 3), np.array([1.0, 1.0, 8.0]))
    assert first == pytest.approx(math.exp(math.log(8) / 3.02))
    assert unseen == pytest.approx(1.0)
