"""Kernels of every kind that this processor runs beside one another and a float32 reference, on odd sizes, on nothing,
and on what is no number: what is none in one is none in all, and the rest is as near as their formats are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ops.panels.cases import ALL, even, fp8_numbers, random, whole_numbers
from tests.ops.panels.cases import found as kernels
from torch import Tensor

from centime.ops import native
from centime.ops.attention import causal_attention_reference, native_causal_attention
from centime.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference
from centime.ops.floats.newton_schulz import orthogonalise, orthogonalise_reference
from centime.ops.floats.routed_experts import in_one_call
from centime.ops.grouped_attention import grouped_attention_reference, paged_grouped_attention
from centime.ops.latent.attention import latent_attention_reference, paged_latent_attention
from centime.ops.latent.past import Past, QueryGroup
from centime.ops.linear import linear
from centime.ops.panels import panels
from centime.ops.rms_norm import rms_norm, rms_norm_reference
from centime.ops.rope import apply_rope, apply_rope_reference, rope_table
from centime.ops.routed_experts import routed_experts_reference, visited_experts

pytestmark = pytest.mark.skipif(kernels is None, reason="no kernels of our own here")

few = st.integers(1, 3)
some = st.integers(1, 40)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert kernels is not None
    monkeypatch.setattr(native, "FLOAT_KERNELS", ALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    kernels.use_threads(2)
    yield
    torch.set_num_threads(threads)
    kernels.use_threads(threads)
    kernels.choose(ALL[0])


class Case(NamedTuple):
    run: Callable[[], Tensor]
    exact: Tensor
    parts: float  # of the largest number, within which a result has to be
    spreads: bool = False  # what is no number may make others none too, in all kernels alike


def spoilt(data: st.DataObject, x: Tensor) -> Tensor:
    """x with one number that is none, or with none such."""
    value = data.draw(st.sampled_from([None, None, float("nan"), float("inf"), float("-inf")]))
    if value is not None and x.numel():
        x.view(-1)[data.draw(st.integers(0, x.numel() - 1))] = value
    return x


def product(data: st.DataObject) -> Case:
    kind, outputs, T = (
        data.draw(st.sampled_from(["bf16", "int8", "int4", "fp8"])),
        data.draw(some),
        data.draw(st.integers(0, 70)),
    )
    inputs = data.draw(even if kind in ("bf16", "fp8") else some)
    x = spoilt(data, random(T, inputs))
    if kind == "bf16":
        weight = random(outputs, inputs)
        packed, exact = panels(weight), weight.float()
    else:
        matrix, exact = (
            fp8_numbers(32, outputs, inputs) if kind == "fp8" else whole_numbers(int(kind[3]), outputs, inputs)
        )
        packed = panels(matrix)
    # steps of 127 a group are how whole numbers take a row: some 1 % of its largest
    return Case(lambda: linear(x, packed), x.float() @ exact.T, 128 if kind in ("bf16", "fp8") else 16)


def experts(data: st.DataObject) -> Case:
    T, E, D, width = data.draw(st.integers(0, 40)), data.draw(few), data.draw(even), data.draw(even)
    K = data.draw(st.integers(1, E))
    ids, gates, x = torch.rand(T, E).argsort(-1)[:, :K], torch.rand(T, K), spoilt(data, random(T, D))
    gate_up, down = random(E, 2, width, D, scale=0.2), random(E, D, width, scale=0.2)
    packed = panels(gate_up, gated=True), panels(down)
    exact = routed_experts_reference(x.float(), ids, gates, gate_up.float(), down.float())
    return Case(lambda: visited_experts(x, ids, gates, *packed), exact, 40)


def past(data: st.DataObject, width: int) -> Past:
    lengths = data.draw(st.lists(st.integers(1, 300) | st.just(1100), max_size=3))
    page, stored = 4, spoilt(data, random(sum(-(-length // 4) * 4 for length in lengths), width))
    tables, groups, at = torch.zeros(len(lengths), 275, dtype=torch.int64), [], 0
    for row, length in enumerate(lengths):
        pages = -(-length // page)
        tables[row, :pages] = torch.arange(at, at + pages)
        groups.append(QueryGroup(torch.tensor([row]), stored[at * page : at * page + length][None]))
        at += pages
    return Past(stored, page, tables, torch.tensor(lengths, dtype=torch.int64), lambda: groups)


def latents(data: st.DataObject) -> Case:
    heads, width = data.draw(some), data.draw(even)
    latent, before = data.draw(st.integers(1, width)), past(data, width)
    q = spoilt(data, random(len(before.lengths_N), heads, width))
    exact = latent_attention_reference(q.float(), before.groups(), width**-0.5, latent)
    return Case(lambda: paged_latent_attention(q, before, width**-0.5, latent), exact, 40)


def groups(data: st.DataObject) -> Case:
    K, group, width = data.draw(few), data.draw(st.integers(1, 35)), data.draw(some)
    before = past(data, 2 * K * width)
    q = spoilt(data, random(len(before.lengths_N), K * group, width))
    exact = grouped_attention_reference(q.float(), before.groups(), width**-0.5, K)
    return Case(lambda: paged_grouped_attention(q, before, width**-0.5, K), exact, 40)


def prompts(data: st.DataObject) -> Case:
    K, group, S, seen = data.draw(few), data.draw(few), data.draw(st.integers(0, 200)), data.draw(st.integers(0, 150))
    width, values = data.draw(even), data.draw(some)
    q = spoilt(data, random(1, K * group, S, width))
    k, v = (spoilt(data, random(1, K, seen + S, wide)) for wide in (width, values))
    exact = causal_attention_reference(q.float(), k.float(), v.float(), width**-0.5)
    # 0 times what is no number is none either: the reference has it in rows that do not see it
    spoilt_at = v.isfinite().logical_not().nonzero()[:, 2]
    sees = torch.arange(seen, seen + S)[:, None] >= (spoilt_at[0] if len(spoilt_at) else 0)
    without = v.float().where(v.isfinite(), 0.0)
    exact = exact.where(sees, causal_attention_reference(q.float(), k.float(), without, width**-0.5))
    assert kernels is not None
    return Case(lambda: native_causal_attention(kernels, q, k, v, width**-0.5), exact, 40, spreads=True)


def norms(data: st.DataObject) -> Case:
    x = spoilt(data, random(1, data.draw(some), data.draw(some), scale=3.0))
    weight = random(x.shape[-1])
    return Case(lambda: rms_norm(x, weight, 1e-6), rms_norm_reference(x.float(), weight.float(), 1e-6), 100)


def rotations(data: st.DataObject) -> Case:
    S, half, apart = data.draw(some), data.draw(some), data.draw(st.booleans())
    x = spoilt(data, random(1, S, 2, 2 * half))
    table = rope_table(torch.randint(0, 9000, (S,)), 10000.0 ** -(torch.arange(half) / half))
    return Case(lambda: apply_rope(x, table, apart), apply_rope_reference(x.float(), table, apart), 100)


def losses(data: st.DataObject) -> Case:
    T, V, D = data.draw(st.integers(0, 150)), data.draw(st.integers(1, 300)), 16 * data.draw(few)
    hidden, weight = spoilt(data, torch.randn(T, D)).requires_grad_(), torch.randn(V, D, requires_grad=True)
    targets, counts = torch.randint(0, V, (T,)), torch.rand(T)

    def of(loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            out = loss(hidden, weight, targets, counts)
            grads = torch.autograd.grad(out, (hidden, weight))
        return torch.cat([out.detach().reshape(1) / max(T, 1), *(grad.flatten() for grad in grads)])

    return Case(lambda: of(linear_cross_entropy), of(linear_cross_entropy_reference), 5000, spreads=True)


def directions(data: st.DataObject) -> Case:
    stack = spoilt(data, torch.randn(data.draw(st.integers(0, 3)), data.draw(some), data.draw(some)))
    steps = [(2.0, -1.5, 0.5)] * 3
    exact = orthogonalise_reference(stack, steps, torch.float32)
    return Case(lambda: orthogonalise(stack, steps, torch.float32), exact, 5000)


def routed(data: st.DataObject) -> Case:
    T, E, D, F = data.draw(st.integers(1, 200)), data.draw(few), 16 * data.draw(few), 16 * data.draw(few)
    K = data.draw(st.integers(1, E))
    ids, x = torch.rand(T, E).argsort(-1)[:, :K], spoilt(data, torch.randn(T, D)).requires_grad_()
    inputs = [t.requires_grad_() for t in (torch.rand(T, K), torch.randn(E, 2, F, D) / 4, torch.randn(E, D, F) / 4)]

    def of(layer: Callable[..., Tensor | None]) -> Tensor:
        with torch.enable_grad():
            out = layer(x, ids, *inputs)
            assert out is not None
            grads = torch.autograd.grad(out.sum(), (x, *inputs))
        return torch.cat([t.flatten() for t in (out.detach(), *grads)])

    return Case(lambda: of(in_one_call), of(routed_experts_reference), 5000, spreads=True)


CASES = (product, experts, latents, groups, prompts, norms, rotations, losses, directions, routed)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), data=st.data())
def test_kernels_of_all_kinds_agree(case: Callable[[st.DataObject], Case], seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    assert kernels is not None
    with torch.no_grad():
        drawn = case(data)
        results = {}
        for name in ALL:
            assert kernels.choose(name)
            results[name] = drawn.run().float()
    none = results["portable"].isfinite().logical_not()
    is_none = drawn.exact.isfinite().logical_not()
    assert none[is_none].all()
    assert drawn.spreads or torch.equal(none, is_none)
    numbers = drawn.exact[~none]
    bound = max(float(numbers.abs().max()), 0.3) / drawn.parts if numbers.numel() else 0.0
    for name, result in results.items():
        assert result.shape == drawn.exact.shape
        assert torch.equal(result.isfinite().logical_not(), none), name
        assert not numbers.numel() or float((result[~none] - numbers).abs().max()) <= bound, name
