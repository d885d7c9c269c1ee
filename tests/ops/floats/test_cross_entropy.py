"""Cross entropy and its gradients in one call beside PyTorch's operations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.panels.cases import quickly
from torch import Tensor

from centime.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference


def drawn(T: int, V: int, D: int, seed: int, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    hidden = (torch.randn(T, D) * size).requires_grad_()
    return hidden, torch.randn(V, D, requires_grad=True), torch.randint(0, V, (T,)), torch.rand(T).round(decimals=1)


@quickly
@given(
    st.integers(0, 140),
    st.integers(1, 300),
    st.integers(1, 4),
    st.integers(0, 2**31),
    st.sampled_from([0.1, 1.0, 40.0]),
)
def test_as_the_reference(T: int, V: int, panels: int, seed: int, size: float) -> None:
    case = drawn(T, V, 16 * panels, seed, size)
    fast, plain = (f(*case) for f in (linear_cross_entropy, linear_cross_entropy_reference))
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(linear_cross_entropy(*case), fast)
    for ours, theirs in zip(*(torch.autograd.grad(2 * loss, case[:2]) for loss in (fast, plain)), strict=True):
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * max(largest, 1.0))  # logits of hundreds


@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_what_is_no_number_is_none_in_the_loss(what: float) -> None:
    hidden, *rest = drawn(3, 20, 16, 0)
    hidden.data[1, 2] = what
    assert bool(linear_cross_entropy(hidden, *rest).isnan())


@pytest.mark.parametrize("target", [-1, 20])
def test_a_target_that_is_no_output_is_refused(target: int) -> None:
    hidden, weight, targets, weights = drawn(3, 20, 16, 0)
    targets[1] = target
    with pytest.raises(IndexError, match="0 to 19"):
        linear_cross_entropy(hidden, weight, targets, weights)
