"""Log-probabilities from hidden states against whole logits, on odd sizes and temperatures, blocks' edges included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.ops import linear_logprob as module
from centime.ops.linear_logprob import linear_logprob, linear_logprob_reference


@settings(max_examples=40, deadline=None)
@given(
    T=st.integers(0, 200),
    D=st.integers(1, 24),
    V=st.integers(1, 70),
    temperature=st.sampled_from([1.0, 0.3, 1.7]),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_whole_logits(T: int, D: int, V: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(n, D, generator=generator, requires_grad=True) for n in (T, V))
    targets, above = torch.randint(0, V, (T,), generator=generator), torch.randn(T, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CACHED_LOGITS", 64 * V)  # blocks of 64 rows
        fast = linear_logprob(hidden, weight, targets, temperature)
        gradients = torch.autograd.grad(fast[0], (hidden, weight), above)
    plain = linear_logprob_reference(hidden, weight, targets, temperature)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert not fast[1].requires_grad
    for a, b in zip(gradients, torch.autograd.grad(plain[0], (hidden, weight), above), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_half_precision_is_within_its_rounding() -> None:
    torch.manual_seed(0)
    hidden, weight = (torch.randn(n, 16, dtype=torch.bfloat16, requires_grad=True) for n in (50, 30))
    targets = torch.randint(0, 30, (50,))
    found, _ = linear_logprob(hidden, weight, targets)
    exact, _ = linear_logprob_reference(hidden.detach().double(), weight.detach().double(), targets)
    assert found.dtype == torch.float32
    assert float((found - exact).detach().abs().max()) < 0.05
    found.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
