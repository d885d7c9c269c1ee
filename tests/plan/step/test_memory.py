"""Bytes of weights, gradients and optimizer by what is sharded, and of passes in flight, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.models import architecture
from centime.plan.counts.adapters import BASES, Adapters, adapter_sizes
from centime.plan.counts.architecture import count_architecture
from centime.plan.step.job import Job
from centime.plan.step.layout import Layout
from centime.plan.step.memory import GRADIENT_BYTES_SHARDED, in_flight, memory_of
from centime.plan.step.prediction import software_of

JOB = Job(architecture("llama-3.1-8b"), chip("h100"), 2048, 64, "bf16", software_of("2025-06"))
P = count_architecture(JOB.arch).total_params
LAYER = P / 32  # what is gathered of sharded weights at a time


@pytest.mark.parametrize(
    ("zero", "weights", "gradients", "optimizer"),
    [
        (0, 2 * P, JOB.software.gradient_bytes * P, 12 * P),
        (1, 2 * P, JOB.software.gradient_bytes * P, 12 * P / 8),
        (2, 2 * P, GRADIENT_BYTES_SHARDED * (P / 8 + LAYER), 12 * P / 8),
        (3, 2 * (P / 8 + 2 * LAYER), GRADIENT_BYTES_SHARDED * (P / 8 + LAYER), 12 * P / 8),
    ],
)
def test_what_each_stage_of_zero_shards(zero: int, weights: float, gradients: float, optimizer: float) -> None:
    found = memory_of(JOB, Layout(8, zero=zero))
    assert (found.weights, found.gradients, found.optimizer) == pytest.approx((weights, gradients, optimizer), rel=1e-6)
    cut = memory_of(replace(JOB, global_batch=256), Layout(32, tp=2, cp=2, zero=zero))  # of half a model, still by 8
    assert cut.optimizer == pytest.approx(optimizer / 2 / (2 if zero else 1), rel=1e-6)


@pytest.mark.parametrize(
    ("zero", "own_gradients", "own_states"), [(0, False, False), (1, False, True), (2, True, True), (3, True, True)]
)
def test_of_adapters_the_same_is_sharded(zero: int, own_gradients: bool, own_states: bool) -> None:
    adapted = replace(JOB, adapters=Adapters(16))
    trained = adapter_sizes(JOB.arch, Adapters(16)).parameters
    found = memory_of(adapted, Layout(8, zero=zero))
    assert found.gradients == pytest.approx(4 * trained / (8 if own_gradients else 1))
    assert found.optimizer == pytest.approx(8 * trained / (8 if own_states else 1))
    frozen = 2 * (P / 8 + 2 * LAYER) + 4 * trained / 8 if zero == 3 else 2 * P + 4 * trained
    assert found.weights == pytest.approx(frozen, rel=1e-6)
    four = memory_of(replace(JOB, adapters=Adapters(16, base="nf4")), Layout(8, zero=zero))
    assert (four.gradients, four.optimizer) == (found.gradients, found.optimizer)
    assert BASES["nf4"] / 2 * found.weights < four.weights < found.weights


def test_dualpipe_keeps_two_copies_of_what_is_not_sharded() -> None:
    one, two = (memory_of(JOB, Layout(8, pp=4, schedule=schedule)) for schedule in ("1f1b", "dualpipe"))
    assert two.weights == 2 * one.weights
    assert two.gradients == one.gradients


@pytest.mark.parametrize(
    ("layout", "micro_batches", "held"),
    [
        (Layout(8), 64, 1.0),
        (Layout(8, pp=4), 64, 4.0),
        (Layout(8, pp=4), 3, 3.0),  # no more than there are
        (Layout(8, pp=4, schedule="dualpipe"), 64, 5.0),
        (Layout(8, pp=4, schedule="dualpipev"), 64, 5.0),
        (Layout(8, pp=4, vp=2, schedule="interleaved"), 64, 5.5),
        (Layout(8, pp=4, schedule="zb"), 64, 4.0),
    ],
)
def test_passes_in_flight(layout: Layout, micro_batches: int, held: float) -> None:
    assert in_flight(layout, micro_batches) == held
