"""Matrices in panels, and products with those of codes: whole numbers of 8 and 4 bits, and e4m3 ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.panels.cases import assert_near, even, found, fp8_numbers, quickly, random, whole_numbers

from centime.ops.linear import linear
from centime.ops.panels import Panels, panels, reference
from centime.ops.quantised import Quantised
from centime.ops.quantised.matrix import in_bytes
from centime.ops.routed_experts import routed_experts_reference, visited_experts

pytestmark = pytest.mark.skipif(found is None, reason="no kernels of our own here")


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
