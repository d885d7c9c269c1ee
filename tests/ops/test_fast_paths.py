"""Every fast path against its plain reference, on random shapes, odd sizes included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from centime.ops import cross_entropy
from centime.ops.attention import causal_attention, causal_attention_reference
from centime.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference
from centime.ops.grouped_attention import grouped_attention, grouped_attention_reference
from centime.ops.latent.attention import latent_attention, latent_attention_reference
from centime.ops.latent.past import QueryGroup
from centime.ops.linear import linear, pack
from centime.ops.routed_experts import (
    FEW,
    SEGMENT,
    Dispatch,
    dispatch,
    routed_experts,
    routed_experts_by_tile,
    routed_experts_reference,
    visited_experts,
)

sizes = st.integers(1, 40)


def assert_same(fast: list[Tensor], reference: list[Tensor], rtol: float = 1e-4) -> None:
    """Close in units of the reference's own largest value; what should be zero may be rounding noise."""
    for a, b in zip(fast, reference, strict=True):
        bound = rtol * max(float(b.detach().abs().max()), 0.01)
        assert float((a - b).detach().abs().max()) <= bound


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 1, 2, 3]), st.integers(1, 70), st.integers(0), st.data()
)
def test_causal_attention(B: int, K: int, group: int, S: int, seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed % 2**31)
    C, Cv, past = (data.draw(st.integers(first, 24)) for first in (1, 1, 0))
    q = torch.randn(B, K * group, S, C, requires_grad=True)
    k, v = (torch.randn(B, K, past + S, width, requires_grad=True) for width in (C, Cv))
    fast, plain = (f(q, k, v, 0.3) for f in (causal_attention, causal_attention_reference))
    weights = torch.randn_like(fast)
    assert_same([fast], [plain])
    assert_same(*(list(torch.autograd.grad(out, (q, k, v), weights)) for out in (fast, plain)), rtol=1e-3)


@pytest.mark.parametrize("S", [255, 256, 257, 600, 2049])  # one short of a block, a block, over it, several, fused
@pytest.mark.parametrize("heads", [2, 6])  # a query head a key head, and three
def test_causal_attention_over_block_edges(S: int, heads: int) -> None:
    torch.manual_seed(S)
    q, k, v = (torch.randn(1, n, S, c, requires_grad=True) for n, c in ((heads, 24), (2, 24), (2, 16)))
    fast, plain = (f(q, k, v, 0.2) for f in (causal_attention, causal_attention_reference))
    weights = torch.randn_like(fast)
    assert_same([fast], [plain])
    assert_same(*(list(torch.autograd.grad(out, (q, k, v), weights)) for out in (fast, plain)), rtol=1e-3)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 8), st.integers(1, 40), st.data())
def test_grouped_attention_of_single_tokens(K: int, M: int, C: int, T: int, data: st.DataObject) -> None:
    """Two queries together, the second with entries that only fill it up, and one alone."""
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    q, stored = torch.randn(3, K * M, C), torch.randn(3, T, 2 * K * C)
    unseen = torch.zeros(2, T, dtype=torch.bool)
    unseen[1, data.draw(st.integers(1, T)) :] = True
    groups = [
        QueryGroup(torch.tensor([2, 0]), stored[:2], unseen),
        QueryGroup(torch.tensor([1]), stored[2:, : data.draw(st.integers(1, T))]),
    ]
    found = grouped_attention(q, groups, 0.4, K)
    assert_same([found], [grouped_attention_reference(q, groups, 0.4, K)])
    alone = grouped_attention(q[1:2], [groups[1]._replace(rows=torch.tensor([0]))], 0.4, K)
    assert torch.equal(alone[0], found[1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 9), sizes, sizes, st.data())
def test_routed_experts(T: int, E: int, D: int, width: int, data: st.DataObject) -> None:
    K = data.draw(st.integers(1, E))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    favourites = torch.rand(E)  # some experts get no token, some nearly all
    ids = torch.stack([torch.multinomial(favourites + 1e-6, K) for _ in range(T)])
    x, gates = torch.randn(T, D, requires_grad=True), torch.rand(T, K, requires_grad=True)
    gate_up, down = torch.randn(E, 2, width, D, requires_grad=True), torch.randn(E, D, width, requires_grad=True)
    leaves = (x, gates, gate_up, down)
    fast, plain = (f(x, ids, gates, gate_up, down) for f in (routed_experts, routed_experts_reference))
    weights = torch.randn_like(fast)
    assert_same([fast], [plain])
    assert_same(*(list(torch.autograd.grad(out, leaves, weights)) for out in (fast, plain)), rtol=1e-3)


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_dispatch_gives_every_pair_a_row_of_its_expert(T: int, E: int, data: st.DataObject) -> None:
    K = data.draw(st.integers(1, E))
    ids = torch.tensor([data.draw(st.permutations(range(E)))[:K] for _ in range(T)])
    plan = dispatch(ids, E)
    owner = {row: e for e, start, end in plan.segments for row in range(start, end)}
    assert len(set(plan.slot_TK.tolist())) == T * K
    for pair, row in enumerate(plan.slot_TK.tolist()):
        assert owner[row] == ids.flatten()[pair]
        assert plan.token_P[row] == pair // K


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), sizes, st.integers(2, 60), st.integers(1, 20), st.integers(0, 2**31))
def test_linear_cross_entropy(T: int, D: int, V: int, chunk: int, seed: int) -> None:
    torch.manual_seed(seed)
    hidden, weight = torch.randn(T, D, requires_grad=True), torch.randn(V, D, requires_grad=True)
    targets, weights = torch.randint(V, (T,)), torch.rand(T) * torch.randint(0, 2, (T,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "CHUNK", chunk)
        patch.setattr(cross_entropy, "CACHED_LOGITS", 64 * V)
        fast = linear_cross_entropy(hidden, weight, targets, weights)
    plain = linear_cross_entropy_reference(hidden, weight, targets, weights)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(out * 3, (hidden, weight)) for out in (fast, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_bfloat16_attention_stays_near_float32() -> None:
    """The blocked form rounds scores and probabilities to bf16; the error stays that of bf16's 8 bits."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 300, c) for c in (48, 48, 32))
    exact = causal_attention_reference(q, k, v, 48**-0.5)
    rounded = causal_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), 48**-0.5).float()
    assert float((rounded - exact).norm() / exact.norm()) < 0.01


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(0, 300), st.integers(1, 24), st.integers(1, 24), st.integers(0)
)
def test_causal_attention_after_a_past(H: int, S: int, past: int, C: int, Cv: int, seed: int) -> None:
    torch.manual_seed(seed % 2**31)
    q = torch.randn(1, H, S, C, requires_grad=True)
    k, v = (torch.randn(1, H, past + S, c, requires_grad=True) for c in (C, Cv))
    fast, plain = (f(q, k, v, 0.3) for f in (causal_attention, causal_attention_reference))
    weights = torch.randn_like(fast)
    assert_same([fast], [plain])
    assert_same(*(list(torch.autograd.grad(out, (q, k, v), weights)) for out in (fast, plain)), rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(1, 5),
    sizes,
    st.integers(0, 12),
    st.integers(0),
)
def test_latent_attention(lengths: list[list[int]], H: int, L: int, R: int, seed: int) -> None:
    torch.manual_seed(seed % 2**31)
    rows, groups = torch.randperm(sum(map(len, lengths))), list[QueryGroup]()
    q = torch.randn(len(rows), H, L + R)
    for own, ends in zip(rows.split([len(ends) for ends in lengths]), lengths, strict=True):
        unseen = torch.arange(max(ends)) >= torch.tensor(ends)[:, None]
        groups.append(QueryGroup(own, torch.randn(len(ends), max(ends), L + R), unseen if unseen.any() else None))
    fast, plain = (f(q, groups, 0.3, L) for f in (latent_attention, latent_attention_reference))
    assert_same([fast], [plain])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), sizes, sizes, st.data())
def test_routed_experts_without_gradients(T: int, E: int, D: int, width: int, data: st.DataObject) -> None:
    K = data.draw(st.integers(1, E))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    ids = torch.stack([torch.randperm(E)[:K] for _ in range(T)])
    leaves = (torch.randn(T, D), ids, torch.rand(T, K), torch.randn(E, 2, width, D), torch.randn(E, D, width))
    packed = [[pack(matrix) for matrix in stack] for stack in leaves[3:]]
    with torch.no_grad():
        plain = routed_experts_reference(*leaves)
        for f in (visited_experts, routed_experts_by_tile):
            assert_same([f(*leaves), f(*leaves[:3], *packed)], [plain, plain])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 140), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_linear_with_few_rows(rows: int, inputs: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, weight = torch.randn(2, rows, inputs)[:1], torch.randn(outputs, inputs)
    with torch.no_grad():
        plain = torch.nn.functional.linear(x, weight)
        assert_same([linear(x, weight)], [plain])
        assert_same([linear(x, pack(weight))], [plain])


def test_linear_of_no_rows() -> None:
    weight = torch.randn(6, 5)
    with torch.no_grad():
        for product in (weight, pack(weight)):
            assert linear(torch.zeros(2, 0, 5), product).shape == (2, 0, 6)


@pytest.mark.parametrize(
    ("tokens", "dtype", "fewest"),
    [
        (FEW, torch.bfloat16, 1),
        (FEW + 1, torch.bfloat16, SEGMENT),
        (FEW, torch.float32, 1),
        (FEW + 1, torch.float32, 1),
    ],
)
def test_segments_are_padded_for_many_tokens_of_a_16_bit_type_alone(
    monkeypatch: pytest.MonkeyPatch, tokens: int, dtype: torch.dtype, fewest: int
) -> None:
    """Where it saves time; the result is the same."""
    asked: list[int] = []

    def seen(ids: Tensor, experts: int, least: int) -> Dispatch:
        asked.append(least)
        return dispatch(ids, experts, least)

    monkeypatch.setattr("centime.ops.routed_experts.dispatch", seen)
    monkeypatch.setattr("centime.ops.routed_experts.SMALL", 0)  # which else one call of all experts computes
    torch.manual_seed(0)
    x, ids, gates = torch.randn(tokens, 4, dtype=dtype), torch.randint(2, (tokens, 1)), torch.rand(tokens, 1)
    up, down = torch.randn(2, 2, 3, 4, dtype=dtype), torch.randn(2, 4, 3, dtype=dtype)
    with torch.no_grad():
        found = visited_experts(x, ids, gates, up, down)
    assert_same([found], [routed_experts_reference(x, ids, gates, up, down)], rtol=0.02)
    assert asked == [fewest]
