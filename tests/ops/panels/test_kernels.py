"""Our own kernels, all that this processor runs, against references in float32; and the same bits in any company."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.panels.cases import ALL, assert_near, even, found, quickly, random

from centime.native.library import Library
from centime.ops.attention import causal_attention_reference, native_causal_attention
from centime.ops.feed_forward import feed_forward, feed_forward_reference
from centime.ops.grouped_attention import grouped_attention_reference, paged_grouped_attention
from centime.ops.latent.absorbed import HeadMatrices, absorb, release
from centime.ops.latent.attention import latent_attention_reference, paged_latent_attention
from centime.ops.latent.past import Past, QueryGroup
from centime.ops.linear import linear, pack, unpack
from centime.ops.panels import Panels, panels
from centime.ops.rms_norm import rms_norm, rms_norm_reference
from centime.ops.rope import apply_rope, apply_rope_reference, rope_table
from centime.ops.routed_experts import routed_experts_by_tile, routed_experts_reference, visited_experts

pytestmark = pytest.mark.skipif(found is None, reason="no kernels of our own here")


def test_what_runs_here(kernels: Library) -> None:
    assert ALL[-1] == "portable"
    assert kernels.kernels in ALL
    assert not kernels.choose("x87")


@quickly
@given(st.integers(0, 70), st.integers(1, 100), even, st.integers(0, 2**31))
def test_linear(T: int, outputs: int, inputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    weight, x = random(outputs, inputs), random(T, inputs)
    packed = pack(weight)
    assert isinstance(packed, Panels)
    assert torch.equal(unpack(packed), weight)
    y = linear(x, packed)
    assert_near(y, x.float() @ weight.float().T)
    for t in range(0, T, 9):
        assert torch.equal(linear(x[t : t + 1], packed)[0], y[t])  # the same bits alone


@quickly
@given(st.integers(0, 50), st.integers(1, 6), even, even, st.data())
def test_experts(T: int, E: int, D: int, width: int, data: st.DataObject) -> None:
    K = data.draw(st.integers(1, E))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    ids = torch.multinomial(torch.rand(max(T, 1), E) + 1e-6, K)[:T]
    x, gates = random(T, D), torch.rand(T, K)
    gate_up, down = random(E, 2, width, D, scale=0.2), random(E, D, width, scale=0.2)
    packed = panels(gate_up, gated=True), panels(down)
    y = visited_experts(x, ids, gates, *packed)
    exact = routed_experts_reference(x.float(), ids, gates, gate_up.float(), down.float())
    assert_near(y, exact, parts=40)  # activations are bf16 in between
    assert torch.equal(routed_experts_by_tile(x, ids, gates, *packed), y)
    for t in range(0, T, 7):
        assert torch.equal(visited_experts(x[t : t + 1], ids[t : t + 1], gates[t : t + 1], *packed)[0], y[t])


@quickly
@given(st.integers(1, 40), even, even, st.integers(0, 2**31))
def test_feed_forward(T: int, D: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, gate_up, down = random(2, T, D), random(2, width, D, scale=0.2), random(D, width, scale=0.2)
    y = feed_forward(x, panels(gate_up[None], gated=True), panels(down[None]))
    assert_near(y, feed_forward_reference(x.float(), gate_up.float(), down.float()), parts=40)


def draw_past(data: st.DataObject, width: int) -> Past:
    lengths = data.draw(st.lists(st.integers(1, 300) | st.just(2100), min_size=1, max_size=4))
    page = data.draw(st.sampled_from([1, 4, 16]))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    longest = max(-(-length // page) for length in lengths) + data.draw(st.integers(0, 2))
    tables = torch.randperm(len(lengths) * longest).view(len(lengths), longest)
    stored = random(len(lengths) * longest * page, width)
    groups = []
    for row, length in enumerate(lengths):
        slots = (tables[row, :, None] * page + torch.arange(page)).flatten()[:length]
        groups.append(QueryGroup(torch.tensor([row]), stored[slots][None]))
    return Past(stored, page, tables, torch.tensor(lengths), lambda: groups)


def last_alone(past: Past) -> Past:
    return past._replace(tables_NP=past.tables_NP[-1:].contiguous(), lengths_N=past.lengths_N[-1:])


@quickly
@given(st.integers(1, 40), even, st.data())
def test_attention_over_pages(heads: int, width: int, data: st.DataObject) -> None:
    latent, past = data.draw(st.integers(1, width)), draw_past(data, width)
    q = random(len(past.lengths_N), heads, width)
    out = paged_latent_attention(q, past, width**-0.5, latent)
    exact = latent_attention_reference(q.float(), past.groups(), width**-0.5, latent)
    # weights are bf16: where values of about 1 all but cancel out, what is left errs by parts of those
    assert (out.float() - exact).abs().max() <= exact.abs().max().clamp(0.3) / 60
    assert torch.equal(paged_latent_attention(q[-1:], last_alone(past), width**-0.5, latent)[0], out[-1])


@quickly
@given(st.integers(1, 3), st.integers(1, 35), st.integers(1, 40), st.data())
def test_attention_of_groups_over_pages(K: int, group: int, width: int, data: st.DataObject) -> None:
    past = draw_past(data, 2 * K * width)
    q = random(len(past.lengths_N), K * group, width)
    out = paged_grouped_attention(q, past, width**-0.5, K)
    exact = grouped_attention_reference(q.float(), past.groups(), width**-0.5, K)
    assert (out.float() - exact).abs().max() <= exact.abs().max().clamp(0.3) / 60  # as above
    assert torch.equal(paged_grouped_attention(q[-1:], last_alone(past), width**-0.5, K)[0], out[-1])


@quickly
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 300), st.integers(0, 150), even, st.data())
def test_attention_of_prompts(K: int, group: int, S: int, past: int, width: int, data: st.DataObject) -> None:
    values, T, scale = data.draw(st.integers(1, 70)), past + S, width**-0.5
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    assert found is not None
    q = random(1, S, K * group, width + 3)[..., 3:].transpose(1, 2)
    k, v = random(1, T, K, width).transpose(1, 2), random(1, K, T, values)
    out = native_causal_attention(found, q, k, v, scale)
    exact = causal_attention_reference(q.float(), k, v, scale)
    assert (out.float() - exact).abs().max() <= exact.abs().max().clamp(0.3) / 60  # as above
    for s in {0, S // 2, S - 1}:  # the same bits alone, and wherever a piece of the prompt begins
        k_seen, v_seen = k[:, :, : past + s + 1], v[:, :, : past + s + 1]
        assert torch.equal(
            native_causal_attention(found, q[:, :, s : s + 1], k_seen, v_seen, scale)[0, :, 0], out[0, :, s]
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_in_a_prompt_is_none_of_those_before_it(value: float) -> None:
    torch.manual_seed(0)
    assert found is not None
    q, k, v = random(1, 2, 300, 16), random(1, 2, 300, 16), random(1, 2, 300, 8)
    plain = native_causal_attention(found, q, k, v, 0.25)
    q[0, 0, 260, 3] = k[0, 1, 270, 2] = v[0, 1, 280, 5] = value
    out = native_causal_attention(found, q, k, v, 0.25)
    before = torch.arange(300) < 256  # of a chunk's own entries none is a number where one of them is none
    assert torch.equal(out[0, 0, torch.arange(300) != 260], plain[0, 0, torch.arange(300) != 260])
    assert out[0, 0, 260].isnan().all()
    assert torch.equal(out[0, 1, before], plain[0, 1, before])
    assert not out[0, 1, 280:, 5].isfinite().any()
    assert native_causal_attention(found, q[:, :, :0], k, v, 0.25).shape == (1, 2, 0, 8)


@quickly
@given(st.integers(1, 20), st.integers(1, 5), even, even, st.integers(1, 40), st.integers(0, 2**31))
def test_matrices_by_heads(S: int, heads: int, nope: int, latent: int, values: int, seed: int) -> None:
    torch.manual_seed(seed)
    plain = HeadMatrices.of(random(heads * (nope + values), latent, scale=0.3), nope, values)
    packed = plain.packed()
    assert packed is not None
    q = random(1, S, heads, nope + 6)  # split as a projection's result is: heads further apart than they are long
    exact = HeadMatrices(*(matrix.float() for matrix in plain))
    parts = q[..., :nope], q[..., nope:]
    assert_near(absorb(*parts, packed), absorb(*(part.float() for part in parts), exact))
    context = random(1, S, heads, latent)
    assert_near(release(context, packed), release(context.float(), exact))


@quickly
@given(st.integers(1, 5), st.integers(1, 100), st.integers(0, 30), st.integers(0, 2**31))
def test_norm_of_rows_within_longer_ones(rows: int, width: int, more: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, weight = random(1, rows, width + more, scale=3.0)[..., :width], random(width)
    assert_near(rms_norm(x, weight, 1e-6), rms_norm_reference(x.float(), weight.float(), 1e-6))


@pytest.mark.parametrize("interleave", [True, False])
@quickly
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 20), st.integers(0, 10), st.integers(0, 2**31))
def test_rotation(interleave: bool, S: int, heads: int, half: int, more: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = random(1, S, heads, more + 2 * half)[..., more:]
    table = rope_table(torch.randint(0, 9000, (S,)), 10000.0 ** -(torch.arange(half) / half), magnitude=1.2)
    assert_near(apply_rope(x, table, interleave), apply_rope_reference(x.float(), table, interleave))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_stays_in_its_row(value: float) -> None:
    torch.manual_seed(0)
    weight, x = random(33, 64), random(20, 64)
    clean = linear(x, pack(weight))
    x[7, 3] = value
    y = linear(x, pack(weight))
    assert not y[7].isfinite().any()
    assert torch.equal(torch.cat((y[:7], y[8:])), torch.cat((clean[:7], clean[8:])))
    normed, plain = rms_norm(x, x[0], 1e-6), rms_norm_reference(x, x[0], 1e-6)
    torch.testing.assert_close(normed, plain, rtol=0.02, atol=0.02, equal_nan=True)
    gate_up, down = panels(random(3, 2, 24, 64), gated=True), panels(random(3, 64, 24))
    ids, gates = torch.arange(20)[:, None] % 3, torch.ones(20, 1)
    out = visited_experts(x, ids, gates, gate_up, down)
    assert out[7].isnan().any()
    assert torch.cat((out[:7], out[8:])).isfinite().all()


def test_an_expert_that_is_none_adds_nothing() -> None:
    torch.manual_seed(0)
    gate_up, down, x = panels(random(2, 2, 16, 32), gated=True), panels(random(2, 32, 16)), random(3, 32)
    gates = torch.ones(3, 2)
    ids = torch.tensor([[0, -1], [5, 1], [-3, 2]])
    out = visited_experts(x, ids, gates, gate_up, down)
    assert torch.equal(out[0], visited_experts(x[:1], ids[:1, :1], gates[:1, :1], gate_up, down)[0])
    assert torch.equal(out[1], visited_experts(x[1:2], ids[1:2, 1:], gates[:1, :1], gate_up, down)[0])
    assert not out[2].any()


def test_more_pieces_than_a_ticket_counts() -> None:
    queries = 66_000
    stored = torch.arange(1.0, 3.0).bfloat16()[:, None].expand(2, 2).contiguous()
    q, tables = torch.zeros(queries, 1, 2, dtype=torch.bfloat16), torch.arange(queries)[:, None] % 2
    past = Past(stored, 1, tables, torch.ones(queries, dtype=torch.int64), list)
    assert torch.equal(paged_latent_attention(q, past, 1.0, 2)[:, 0, 0].float(), 1.0 + tables[:, 0])
