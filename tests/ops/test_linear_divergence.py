"""Divergences block by block are those of whole logits, at both ends and between, with gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.ops import linear_divergence as module
from centime.ops.linear_divergence import divergence, linear_divergence, linear_divergence_reference


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(1, 7), st.integers(2, 9), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 2**31))
def test_in_blocks(T: int, D: int, V: int, beta: float, seed: int) -> None:
    torch.manual_seed(seed)
    hidden, head = torch.randn(T, D, requires_grad=True), torch.randn(V, D, requires_grad=True)
    teacher = torch.randn(T, D + 1), torch.randn(V, D + 1)
    weights, whole = torch.randn(T), linear_divergence_reference((hidden, head), teacher, beta, 1.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 4)
        parts = linear_divergence((hidden, head), teacher, beta, 1.5)
    torch.testing.assert_close(parts, whole)
    assert bool((whole > -1e-6).all())
    if T:
        for a, b in zip(*(torch.autograd.grad(out, (hidden, head), weights) for out in (parts, whole)), strict=True):
            torch.testing.assert_close(a, b)


def test_between_the_ends_it_tends_to_them() -> None:
    torch.manual_seed(0)
    p, q = (torch.randn(3, 6, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    near = 1e-6
    torch.testing.assert_close(divergence(p, q, near) / near, divergence(p, q, 0.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(divergence(p, q, 1 - near) / near, divergence(p, q, 1.0), rtol=1e-4, atol=0)
    certain = torch.tensor([[0.0, -math.inf]]), torch.tensor([[math.log(0.5)] * 2])
    assert float(divergence(*certain, 0.0)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0])
def test_it_is_trls(beta: float) -> None:
    trainer = pytest.importorskip("trl.experimental.gkd").GKDTrainer
    torch.manual_seed(1)
    student, teacher = torch.randn(2, 5, 11), torch.randn(2, 5, 11)
    theirs = trainer.generalized_jsd_loss(student, teacher, beta=beta, temperature=2.0, reduction="sum")
    ours = divergence((teacher / 2).log_softmax(-1), (student / 2).log_softmax(-1), beta).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
