"""Our own kernels, all that this processor runs, against references in float32; and the same bits in any company."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from centime.native.library import Library, library
from centime.ops.feed_forward import feed_forward, feed_forward_reference
from centime.ops.latent.absorbed import HeadMatrices, absorb, release
from centime.ops.latent.attention import latent_attention_reference, paged_latent_attention
from centime.ops.latent.past import Past, QueryGroup
from centime.ops.linear import linear, pack, unpack
from centime.ops.panels import Panels, panels, reference
from centime.ops.quantised import Quantised
from centime.ops.quantised.matrix import in_bytes
from centime.ops.rms_norm import rms_norm, rms_norm_reference
from centime.ops.rope import apply_rope, apply_rope_reference, rope_table
from centime.ops.routed_experts import routed_experts_by_tile, routed_experts_reference, visited_experts

found = library()
pytestmark = pytest.mark.skipif(found is None, reason="no kernels of our own here")
ALL = [
    name for name in ("amx", "avx512_bf16", "avx512", "avx2", "portable") if found is not None and found.choose(name)
]
even = st.integers(1, 40).map(lambda n: 2 * n)
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=ALL, autouse=True)
def kernels(request: pytest.FixtureRequest) -> Iterator[Library]:
    assert found is not None
    before = ALL[0]
    assert found.choose(request.param)
    found.use_threads(3)
    with torch.no_grad():
        yield found
    found.use_threads(torch.get_num_threads())
    found.choose(before)


def random(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return (torch.randn(*shape) * scale).bfloat16()


def assert_near(fast: torch.Tensor, exact: torch.Tensor, parts: float = 128.0) -> None:
    """Within so many parts of the largest number: bf16 keeps 256 of them."""
    assert fast.shape == exact.shape
    bound = max(exact.abs().max().item(), 1e-3) / parts if exact.numel() else 0.0
    assert (fast.float() - exact.float()).abs().max().item() <= bound if exact.numel() else True


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


def whole_numbers(bits: int, *shape: int) -> tuple[Quantised, torch.Tensor]:
    """Numbers of so many bits with scales, and what they stand for in float32."""
    most, groups = 2 ** (bits - 1), -(-shape[-1] // 32)
    codes = torch.randint(-most, most, shape, dtype=torch.int8)
    scales = (torch.randn(*shape[:-1], groups) / most / shape[-1] ** 0.5).half()
    stored = codes if bits == 8 else in_bytes((codes + 8).view(torch.uint8))
    matrix = Quantised(stored, scales, f"int{bits}", shape[-1])
    return matrix, matrix.dense(torch.float32)


def fp8_numbers(block: int, *shape: int) -> tuple[Quantised, torch.Tensor]:
    """e4m3 numbers of every kind, those near nothing too, and what they stand for in float32."""
    *stack, outputs, inputs = shape
    codes = torch.randint(0, 256, shape, dtype=torch.uint8)
    codes[codes % 128 == 127] = 8
    scales = torch.randn(*stack, -(-outputs // block), -(-inputs // block)) / 256 / inputs**0.5
    matrix = Quantised(codes.view(torch.float8_e4m3fn), scales, "fp8", inputs, block)
    return matrix, matrix.dense(torch.float32)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", ["bf16", "int8", "int4", "fp8-32", "fp8-128"])
@quickly
@given(st.integers(1, 3), st.integers(1, 150), even, st.integers(0, 1), st.integers(0, 2**31))
def test_panels(kind: str, gated: bool, stack: int, outputs: int, inputs: int, odd: int, seed: int) -> None:
    torch.manual_seed(seed)
    shape = (stack, *([2] if gated else []), outputs, inputs)
    if kind == "bf16":
        weight = random(*shape)
    elif kind.startswith("fp8"):
        weight, _ = fp8_numbers(int(kind[4:]), *shape)
    else:
        weight, _ = whole_numbers(int(kind[3:]), *shape[:-1], inputs + odd)
    made, slow = panels(weight, gated=gated), reference.packed(weight, gated=gated)
    assert made.shape == slow.shape
    assert torch.equal(made.dense(), weight.dense() if isinstance(weight, Quantised) else weight)
    assert torch.equal(Panels(slow, made.kind, (outputs, made.inputs), gated=gated).dense(), made.dense())


def steps(x: torch.Tensor) -> torch.Tensor:
    """A row's numbers in groups of 32 over the largest of each, of 127 steps."""
    filled = torch.nn.functional.pad(x.float(), (0, -x.shape[-1] % 32)).unflatten(-1, (-1, 32))
    scale = filled.abs().amax(-1, keepdim=True) / 127
    return ((filled / scale.clamp(min=1e-30)).round() * scale).flatten(-2)[..., : x.shape[-1]]


@pytest.mark.parametrize("bits", [8, 4])
@quickly
@given(st.integers(0, 40), st.integers(1, 100), st.integers(1, 150), st.integers(0, 2**31))
def test_linear_of_whole_numbers(bits: int, T: int, outputs: int, inputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    matrix, exact = whole_numbers(bits, outputs, inputs)
    packed, x = panels(matrix), random(T, inputs)
    y = linear(x, packed)
    assert_near(y, steps(x) @ exact.T, parts=50)  # ties of steps are rounded either way
    for t in range(0, T, 9):
        assert torch.equal(linear(x[t : t + 1], packed)[0], y[t])


@pytest.mark.parametrize("block", [32, 128])
@quickly
@given(st.integers(0, 40), st.integers(1, 100), even, st.integers(0, 2**31))
def test_linear_of_fp8(block: int, T: int, outputs: int, inputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    matrix, exact = fp8_numbers(block, outputs, inputs)
    packed, x = panels(matrix), random(T, inputs)
    y = linear(x, packed)
    assert_near(y, x.float() @ exact.T)
    for t in range(0, T, 9):
        assert torch.equal(linear(x[t : t + 1], packed)[0], y[t])


@pytest.mark.parametrize("bits", [8, 4])
@quickly
@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 150), st.integers(0, 2**31))
def test_sums_of_a_group_are_exact(bits: int, T: int, outputs: int, inputs: int, seed: int) -> None:
    """Codes and inputs at their ends, where products of 8 bits no longer fit into 16."""
    torch.manual_seed(seed)
    most, groups = 2 ** (bits - 1), -(-inputs // 32)
    codes = torch.where(torch.rand(outputs, inputs) < 0.5, -most, most - 1).to(torch.int8)
    codes[::3] = -most
    stored = codes if bits == 8 else in_bytes((codes + 8).view(torch.uint8))
    packed = panels(Quantised(stored, torch.ones(outputs, groups).half(), f"int{bits}", inputs))
    x = torch.where(torch.rand(T, inputs) < 0.5, -127.0, 127.0)  # steps of 1, whatever the group
    x[::2] = 127.0
    exact = (x.double() @ codes.double().T).bfloat16()
    assert torch.equal(linear(x.bfloat16(), packed), exact)


@pytest.mark.parametrize("bits", [8, 4])
@quickly
@given(st.integers(1, 30), st.integers(1, 4), st.integers(16, 80), st.integers(1, 80), st.integers(0, 2**31))
def test_experts_of_whole_numbers(bits: int, T: int, E: int, D: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    (up_matrix, gate_up), (down_matrix, down) = whole_numbers(bits, E, 2, width, D), whole_numbers(8, E, D, width)
    packed = panels(up_matrix, gated=True), panels(down_matrix)
    ids, gates, x = torch.randint(E, (T, 1)), torch.rand(T, 1), random(T, D)
    y = visited_experts(x, ids, gates, *packed)
    assert_near(y, routed_experts_reference(steps(x), ids, gates, gate_up, down), parts=12)  # acts in steps too
    assert torch.equal(visited_experts(x[-1:], ids[-1:], gates[-1:], *packed)[0], y[-1])


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


@quickly
@given(st.integers(1, 40), even, st.data())
def test_attention_over_pages(heads: int, width: int, data: st.DataObject) -> None:
    latent = data.draw(st.integers(1, width))
    lengths = data.draw(st.lists(st.integers(1, 300) | st.just(2100), min_size=1, max_size=4))
    page = data.draw(st.sampled_from([1, 4, 16]))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    longest = max(-(-length // page) for length in lengths) + data.draw(st.integers(0, 2))
    tables = torch.randperm(len(lengths) * longest).view(len(lengths), longest)
    stored, q = random(len(lengths) * longest * page, width), random(len(lengths), heads, width)
    groups = []
    for row, length in enumerate(lengths):
        slots = (tables[row, :, None] * page + torch.arange(page)).flatten()[:length]
        groups.append(QueryGroup(torch.tensor([row]), stored[slots][None]))
    past = Past(stored, page, tables, torch.tensor(lengths), lambda: groups)
    out = paged_latent_attention(q, past, width**-0.5, latent)
    assert_near(out, latent_attention_reference(q.float(), groups, width**-0.5, latent), parts=60)
    alone = past._replace(tables_NP=tables[-1:].contiguous(), lengths_N=torch.tensor(lengths[-1:]))
    assert torch.equal(paged_latent_attention(q[-1:], alone, width**-0.5, latent)[0], out[-1])


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
def test_what_is_no_number_stays_in_its_row_of_whole_numbers(value: float) -> None:
    torch.manual_seed(0)
    x, packed = random(20, 70), panels(whole_numbers(8, 33, 70)[0])
    clean = linear(x, packed)
    x[7, 3], x[8] = value, 0.0
    y = linear(x, packed)
    assert not y[7].isfinite().any()
    assert not y[8].any()
    assert torch.equal(torch.cat((y[:7], y[9:])), torch.cat((clean[:7], clean[9:])))


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
