"""Experts by our kernels beside one expert after another: values and every gradient."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.panels.cases import quickly
from torch import Tensor

from centime.ops.feed_forward import feed_forward, feed_forward_reference
from centime.ops.floats.routed_experts import in_one_call
from centime.ops.routed_experts import routed_experts_reference

few = st.integers(1, 3)


def assert_alike(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert float((one - other).abs().max()) <= 2e-5 * max(float(other.abs().max()), 1.0)


def layer(E: int, D: int, F: int) -> list[Tensor]:
    return [torch.randn(E, 2, F, D, requires_grad=True), torch.randn(E, D, F, requires_grad=True)]


@quickly
@given(st.integers(1, 300), st.integers(1, 6), few, few, st.integers(0, 2**31), st.data())
def test_as_one_expert_after_another(T: int, E: int, d: int, f: int, seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    K = data.draw(st.integers(1, E))
    ids = torch.rand(T, E).argsort(-1)[:, :K]  # not contiguous
    x, gates = torch.randn(16 * d, T).t().requires_grad_(), torch.rand(T, K, requires_grad=True)
    inputs = [x, gates, *layer(E, 16 * d, 16 * f)]
    fast = in_one_call(x, ids, *inputs[1:])
    assert fast is not None
    plain, weights = routed_experts_reference(x, ids, *inputs[1:]), torch.randn(T, 16 * d)
    assert_alike([fast], [plain])
    assert_alike(*(list(torch.autograd.grad(out, inputs, weights)) for out in (fast, plain)))


def test_an_expert_that_nobody_visits_has_no_gradient_and_large_scores_end_somewhere() -> None:
    x, (gate_up, down) = torch.full((2, 16), 1e3, requires_grad=True), layer(3, 16, 16)
    out = in_one_call(x, torch.tensor([[0], [2]]), torch.ones(2, 1), gate_up, down)
    assert out is not None
    found = torch.autograd.grad(out.sum(), (x, gate_up, down))
    assert all(bool(grad.isfinite().all()) for grad in found)
    assert not found[1][1].any()
    assert not found[2][1].any()


def test_a_dense_layer_is_a_stack_of_one() -> None:
    x, (gate_up, down) = torch.randn(2, 5, 32, requires_grad=True), layer(1, 32, 48)
    inputs = (x, gate_up, down)
    fast, plain = (f(x, gate_up[0], down[0]) for f in (feed_forward, feed_forward_reference))
    assert fast.grad_fn is not None
    assert "InOneCall" in type(fast.grad_fn.next_functions[0][0]).__name__
    assert_alike([fast], [plain])
    assert_alike(*(list(torch.autograd.grad(out.square().sum(), inputs)) for out in (fast, plain)))


def test_the_same_bits_whatever_the_threads() -> None:
    inputs = [torch.randn(300, 32, requires_grad=True), torch.rand(300, 2), *layer(4, 32, 32)]
    ids = torch.randint(0, 4, (300, 2))

    def found() -> list[Tensor]:
        out = in_one_call(inputs[0], ids, *inputs[1:])
        assert out is not None
        return [out, *torch.autograd.grad(out.sum(), (inputs[0], *inputs[2:]))]

    several = found()
    torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(found(), several, strict=True))
