"""Block-scaled FP8 against the definition, one element at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from centime.ops.fp8 import dequantize_blocks, quantize_blocks, scale_shape


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**31))
def test_every_element_is_its_number_times_its_block_s_scale(rows: int, columns: int, block: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.randn(rows, columns, generator=generator) * 100).to(torch.float8_e4m3fn)
    scales = torch.rand(scale_shape((rows, columns), block), generator=generator)
    out = dequantize_blocks(weight, scales, block, torch.full((rows, columns), float("nan")))
    for i in range(rows):
        for j in range(columns):
            assert out[i, j] == weight[i, j].float() * scales[i // block, j // block]


def test_it_fills_a_part_of_a_larger_tensor_in_its_type() -> None:
    """As `centime.load` uses it: one expert's matrix inside the stacked parameter, in bf16."""
    stacked = torch.zeros(3, 2, 130, 7, dtype=torch.bfloat16)
    weight = torch.ones(130, 7).to(torch.float8_e4m3fn)
    dequantize_blocks(weight, torch.tensor([[2.0], [3.0]]), 128, stacked[1, 0])
    assert torch.equal(stacked[1, 0, :128], torch.full((128, 7), 2.0, dtype=torch.bfloat16))
    assert torch.equal(stacked[1, 0, 128:], torch.full((2, 7), 3.0, dtype=torch.bfloat16))
    assert int(stacked.count_nonzero()) == 130 * 7


def test_scales_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, 1\)"):
        dequantize_blocks(torch.ones(130, 7).to(torch.float8_e4m3fn), torch.ones(1, 1), 128, torch.ones(130, 7))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(0, 2**31))
def test_a_block_s_largest_number_is_448(rows: int, columns: int, block: int, seed: int) -> None:
    weight = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(seed))
    weight[1, :block, :block] = 0
    codes, scales = quantize_blocks(weight, block)
    assert (codes.shape, codes.dtype) == (weight.shape, torch.float8_e4m3fn)
    assert tuple(scales.shape[1:]) == scale_shape((rows, columns), block)
    for e in range(2):
        for i in range(scales.shape[1]):
            for j in range(scales.shape[2]):
                part = (slice(i * block, (i + 1) * block), slice(j * block, (j + 1) * block))
                largest = codes[e][part].float().abs().max()
                assert largest == (448 if weight[e][part].any() else 0)
                assert scales[e, i, j] == (weight[e][part].abs().max() / 448 if weight[e][part].any() else 1)
