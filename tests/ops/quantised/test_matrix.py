"""Codes and scales against the definition, one number at a time; and codes that are near what they were made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from centime.ops.quantised import KINDS, Quantised, quantise

SHAPES = st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 100))


def numbers(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Of magnitudes that differ from row to row, some rows all zero."""
    generator = torch.Generator().manual_seed(seed)
    powers = torch.randint(-1, 3, (*shape[:-1], 1), generator=generator)
    weight = torch.randn(shape, generator=generator) * 10.0**powers
    return weight * (torch.rand(shape[:-1], generator=generator) > 0.1)[..., None]


@given(SHAPES, st.sampled_from(KINDS), st.integers(0, 2**31))
def test_a_number_is_its_code_times_its_scale(shape: tuple[int, int, int], kind: str, seed: int) -> None:
    matrix = quantise(numbers(shape, seed), kind, block=8)
    dense = matrix.dense(torch.float32)
    assert dense.shape == shape
    assert matrix.dense().dtype == torch.bfloat16
    for e in range(shape[0]):
        for o in range(shape[1]):
            for i in range(shape[2]):
                if kind == "fp8":
                    expected = matrix.codes[e, o, i].float() * matrix.scales[e, o // 8, i // 8]
                elif kind == "int8":
                    expected = matrix.codes[e, o, i].float() * matrix.scales[e, o, i // 32].float()
                else:
                    code = int(matrix.codes[e, o, i // 2]) >> 4 * (i % 2) & 15
                    expected = (code - 8) * matrix.scales[e, o, i // 32].float()
                assert dense[e, o, i] == expected


@given(SHAPES, st.sampled_from(KINDS), st.integers(0, 2**31))
def test_a_number_is_off_by_half_a_step(shape: tuple[int, int, int], kind: str, seed: int) -> None:
    weight = numbers(shape, seed)
    matrix = quantise(weight, kind, block=8)
    away = (matrix.dense(torch.float32) - weight).abs()
    if kind == "fp8":  # three bits after the leading one, and below 2^-6 of a scale steps of 2^-9
        step = matrix.scales.repeat_interleave(8, -2).repeat_interleave(8, -1)[:, : shape[1], : shape[2]]
        assert bool((away <= weight.abs() / 16 * 1.001 + step * 2.0**-10).all())
        return
    step = matrix.scales.float().abs().repeat_interleave(32, -1)[..., : shape[2]]
    # 0.5: rounded to the nearest; the largest of the other sign is 8 steps away, where codes end at 7
    most = 0.51 if kind == "int8" else 1.04
    assert bool((away <= most * step + 1e-9).all())


@given(SHAPES, st.sampled_from(("int8", "int4")), st.integers(0, 2**31))
def test_scales_are_the_same_in_bfloat16(shape: tuple[int, int, int], kind: str, seed: int) -> None:
    scales = quantise(numbers(shape, seed), kind).scales
    assert scales.dtype == torch.float16
    assert torch.equal(scales.bfloat16().half(), scales)


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_a_stack(kind: str) -> None:
    stack = quantise(numbers((3, 2, 7, 45), 1), kind, block=4)
    assert (stack.outputs, stack.inputs, len(stack)) == (7, 45, 3)
    assert isinstance(stack[1], Quantised)
    assert torch.equal(stack[1].dense(), stack.dense()[1])
    assert torch.equal(stack[2, 1].dense(), stack.dense()[2, 1])
    assert stack.stored_bytes == stack.codes.nbytes + stack.scales.nbytes
    assert not stack.requires_grad


@pytest.mark.parametrize(("kind", "most"), [("int8", 8.5), ("int4", 4.5), ("fp8", 8.01)])
def test_bits_of_a_number(kind: str, most: float) -> None:
    matrix = quantise(torch.ones(256, 512), kind)
    assert matrix.stored_bytes * 8 / (256 * 512) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_rounded_stays_as_it_is(kind: str) -> None:
    """What a matrix stands for, made a matrix of that kind again: the same numbers."""
    once = quantise(numbers((2, 5, 96), 3), kind, block=8).dense(torch.float32)
    assert torch.equal(quantise(once, kind, block=8).dense(torch.float32), once)
