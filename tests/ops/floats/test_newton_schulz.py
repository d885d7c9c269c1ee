"""Newton-Schulz's iteration by our kernels beside PyTorch's products."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.panels.cases import quickly

from centime.ops.floats.newton_schulz import V4_STEPS, orthogonalise, orthogonalise_reference

sizes = st.integers(1, 40)


@quickly
@given(sizes, sizes, st.integers(0, 3), st.integers(1, 10), st.integers(0, 2**31))
def test_as_the_reference(rows: int, columns: int, count: int, steps: int, seed: int) -> None:
    stack = torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(seed))
    given_stack = stack.clone()
    found, expected = (f(stack, V4_STEPS[-steps:], torch.float32) for f in (orthogonalise, orthogonalise_reference))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert torch.equal(stack, given_stack)


def test_what_is_not_contiguous_zero_or_no_number() -> None:
    stack = torch.randn(17, 3, 33).permute(1, 2, 0)
    stack[1] = 0.0
    stack[2, 5, 7] = float("nan")
    found = orthogonalise(stack, V4_STEPS, torch.float32)
    torch.testing.assert_close(found[0], orthogonalise_reference(stack[0], V4_STEPS, torch.float32), rtol=0, atol=1e-4)
    assert torch.equal(found[1], torch.zeros(33, 17))
    assert bool(found[2].isnan().all())


@pytest.mark.parametrize("shape", [(64, 130), (130, 64)])
def test_the_same_bits_whatever_the_threads(shape: tuple[int, int]) -> None:
    stack = torch.randn(5, *shape)
    several = orthogonalise(stack, V4_STEPS, torch.float32)
    torch.set_num_threads(1)
    assert torch.equal(orthogonalise(stack, V4_STEPS, torch.float32), several)
