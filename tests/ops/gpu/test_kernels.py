"""Every Triton kernel against its reference: by Triton's interpreter, or on the GPU where there is one.

The interpreter multiplies no bf16 numbers, and rounds to e4m3 half a step too low where a mantissa overflows.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from centime.ops.fp8 import quantize_blocks
from centime.ops.latent.attention import latent_attention_reference
from centime.ops.latent.past import Past, QueryGroup
from centime.ops.routed_experts import routed_experts_reference
from centime.ops.routing.selection import Selection, route_reference

pytest.importorskip("triton")

from centime.ops.gpu.experts import routed_experts, routed_fp8_experts
from centime.ops.gpu.fp8 import fp8_linear, fp8_linear_reference, quantise_rows, quantise_rows_reference
from centime.ops.gpu.grouped import (
    grouped_linear,
    grouped_linear_reference,
    grouped_outer,
    grouped_outer_reference,
    plan_tiles,
)
from centime.ops.gpu.latent_attention import paged_latent_attention
from centime.ops.gpu.latent_entry import Norm, write_entries, write_entries_reference
from centime.ops.gpu.router import route
from centime.ops.gpu.swiglu import gated_swiglu, gated_swiglu_backward, gated_swiglu_reference

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
seeds = st.integers(0, 2**31)


def randn(*shape: int, scale: float = 1.0) -> Tensor:
    return (torch.randn(shape) * scale).to(DEVICE)


def distance(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().float(), b.detach().float()
    return float((a - b).norm() / (b.norm() + 1e-12))


def test_rows_are_rounded_by_stretches_of_128() -> None:
    torch.manual_seed(0)
    x = randn(5, 300)
    x[1, :128], x[2, 200] = 0, 1e-30
    (codes, scales), (plain, plain_scales) = quantise_rows(x), quantise_rows_reference(x)
    assert torch.equal(scales, plain_scales)
    differ = codes.float() != plain.float()
    halves = codes.float()[differ] * 2 == plain.float()[differ]  # the interpreter's overflow of a mantissa
    assert bool(halves.all())
    assert int(differ.sum()) <= (0 if DEVICE == "cuda" else 60)


@pytest.mark.parametrize(("T", "outputs", "inputs"), [(1, 1, 1), (3, 7, 129), (70, 130, 256), (0, 5, 128)])
def test_fp8_products(T: int, outputs: int, inputs: int) -> None:
    torch.manual_seed(1)
    codes, scales = quantise_rows(randn(T, inputs))
    weight, weight_scales = quantize_blocks(randn(outputs, inputs))
    y = fp8_linear(codes, scales, weight, weight_scales, torch.float32)
    assert y.shape == (T, outputs)
    assert distance(y, fp8_linear_reference(codes, scales, weight, weight_scales)) < 1e-3


@settings(max_examples=5)
@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 3), seeds)
def test_tiles_hold_every_pair_once_and_one_experts_alone(T: int, E: int, K: int, seed: int) -> None:
    torch.manual_seed(seed)
    ids = torch.randint(E, (T, K), device=DEVICE)
    plan = plan_tiles(ids, E)
    pairs = plan.pair_P[plan.pair_P >= 0]
    assert sorted(pairs.tolist()) == list(range(T * K))
    assert torch.equal(plan.pair_P[plan.row_TK], torch.arange(T * K, device=DEVICE))
    whose = plan.expert_of_tile.repeat_interleave(64)
    assert torch.equal(whose[plan.row_TK].long(), ids.flatten())
    assert bool((plan.pair_P[whose < 0] == -1).all())


def test_grouped_products_and_their_gradients() -> None:
    torch.manual_seed(2)
    ids = torch.tensor([[0, 3], [3, 1], [3, 0]], device=DEVICE)  # expert 2 has no token
    x, weight = randn(3, 70), randn(4, 30, 70)
    plan = plan_tiles(ids, 4)
    token_P = torch.where(plan.pair_P >= 0, plan.pair_P // 2, -1)
    y, plain = grouped_linear(x, token_P, weight, plan), grouped_linear_reference(x, token_P, weight, plan)
    real = plan.pair_P >= 0
    assert distance(y[real], plain[real]) < 1e-5
    a = randn(len(token_P), 30)
    assert distance(grouped_outer(a, x, token_P, plan), grouped_outer_reference(a, x, token_P, plan)) < 1e-5


def test_gated_swiglu_reads_nothing_of_rows_that_are_nobodys() -> None:
    torch.manual_seed(3)
    h, gate = randn(4, 2 * 1030).requires_grad_(), torch.tensor([0.5, 0.0, -1.0, 2.0], device=DEVICE).requires_grad_()
    plain, dy = gated_swiglu_reference(h, gate), randn(4, 1030)
    expected = torch.autograd.grad(plain, (h, gate), dy)
    soiled = h.detach().clone()
    soiled[1] = float("nan")
    assert distance(gated_swiglu(soiled, gate.detach()), plain.detach()) < 1e-6
    dh, dgate = gated_swiglu_backward(dy, soiled, gate.detach())
    assert distance(dh, expected[0]) < 1e-5
    assert float(dgate[1]) == 0
    assert distance(dgate[[0, 2, 3]], expected[1][[0, 2, 3]]) < 1e-5


@pytest.mark.parametrize(("T", "K", "E", "D", "F"), [(3, 2, 2, 33, 20)])
def test_routed_experts_with_gradients(T: int, K: int, E: int, D: int, F: int) -> None:
    torch.manual_seed(4)
    ids = torch.stack([torch.randperm(E)[:K] for _ in range(T)]).to(DEVICE)
    leaves = randn(T, D), randn(T, K).abs(), randn(E, 2, F, D, scale=D**-0.5), randn(E, D, F, scale=F**-0.5)
    x, gates, gate_up, down = (leaf.requires_grad_() for leaf in leaves)
    fast, plain = (f(x, ids, gates, gate_up, down) for f in (routed_experts, routed_experts_reference))
    dy = torch.randn_like(plain)
    assert distance(fast, plain) < 1e-5
    for mine, theirs in zip(
        *(torch.autograd.grad(out, (x, gates, gate_up, down), dy) for out in (fast, plain)), strict=True
    ):
        assert distance(mine, theirs) < 1e-5


def test_routed_experts_of_fp8_matrices() -> None:
    torch.manual_seed(5)
    ids, gates = torch.tensor([[0, 1], [1, 2]], device=DEVICE), torch.rand(2, 2, device=DEVICE)
    x, gate_up, down = randn(2, 130), randn(3, 2, 128, 130, scale=0.1), randn(3, 130, 128, scale=0.1)
    packed = quantize_blocks(gate_up.flatten(1, 2)), quantize_blocks(down)
    out = routed_fp8_experts(x, ids, gates, *packed)
    assert distance(out, routed_experts_reference(x, ids, gates, gate_up, down)) < (0.06 if DEVICE == "cuda" else 0.15)


@pytest.mark.parametrize(
    ("H", "L", "R", "page", "lengths"),
    [(1, 3, 2, 4, [5]), (5, 33, 6, 7, [1, 300, 600]), (17, 64, 16, 16, [40, 2])],
    ids=["one", "parts", "more heads than a tile"],
)
def test_latent_attention_over_pages(H: int, L: int, R: int, page: int, lengths: list[int]) -> None:
    torch.manual_seed(6)
    N, pages = len(lengths), max(-(-n // page) for n in lengths) + 1
    stored = randn(pages * N * page, L + R)
    tables = torch.randperm(pages * N).view(N, pages).to(DEVICE)
    q, groups = randn(N, H, L + R), []
    for i, length in enumerate(lengths):
        entries = torch.cat([stored[b * page : (b + 1) * page] for b in tables[i].tolist()])[:length]
        groups.append(QueryGroup(torch.tensor([i]), entries[None].cpu()))
    past = Past(stored, page, tables, torch.tensor(lengths, device=DEVICE), lambda: groups)
    context, plain = paged_latent_attention(q, past, 0.3, L), latent_attention_reference(q.cpu(), groups, 0.3, L)
    assert distance(context.cpu(), plain) < 1e-5


@pytest.mark.parametrize("interleave", [True, False])
def test_entries_are_normed_turned_and_written(interleave: bool) -> None:
    torch.manual_seed(7)
    down, norm, table = randn(4, 33 + 6), Norm(randn(33), 1e-6), (randn(4, 3), randn(4, 3))
    slots, fast, plain = torch.tensor([3, 0, 19, 7], device=DEVICE), randn(20, 39), randn(20, 39)
    plain.copy_(fast)
    write_entries(down, norm, table, interleave, fast, slots)
    write_entries_reference(down, norm, table, interleave, plain, slots)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)


@settings(max_examples=8)
@given(st.integers(1, 5), st.integers(2, 9), st.data(), seeds)
def test_the_router_chooses_as_the_reference_does(groups: int, in_group: int, data: st.DataObject, seed: int) -> None:
    kept = data.draw(st.integers(1, groups))
    selection = Selection(
        data.draw(st.sampled_from(["softmax", "sigmoid"])),
        *(data.draw(st.integers(1, kept * in_group)), groups, kept, data.draw(st.sampled_from([1, 2]))),
        *(data.draw(st.booleans()), 2.5),
    )
    torch.manual_seed(seed)
    logits, bias = randn(2, groups * in_group), data.draw(st.sampled_from([None, randn(groups * in_group, scale=0.1)]))
    ids, gates, scores = route(logits, bias, selection)
    plain_ids, plain_gates, plain_scores = route_reference(logits, bias, selection)
    mine, theirs = ids.sort(-1), plain_ids.sort(-1)
    assert torch.equal(mine.values, theirs.values)
    torch.testing.assert_close(gates.gather(-1, mine.indices), plain_gates.gather(-1, theirs.indices))
    torch.testing.assert_close(scores, plain_scores)
