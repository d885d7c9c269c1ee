"""Numbers to codes and scales: symmetric, each rounded to the nearest.

Letters of shapes: O outputs and I inputs of a matrix, G = ceil(I / 32) groups of inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from centime.ops.fp8 import BLOCK, quantize_blocks
from centime.ops.quantised.matrix import GROUP, Quantised, in_bytes


def quantise(weight: Tensor, kind: str, block: int = BLOCK) -> Quantised:
    """Matrices [..., O, I] of any floating type in one of KINDS; `block` is the side of fp8's blocks.

    int8: a group's scale is its largest magnitude over 127. int4: the number of largest magnitude over -8, so that
    this one is exact (GGUF's Q4_0). Such scales are numbers that float16 and bfloat16 both hold: other programs keep
    them in either. fp8: a block's scale is its largest magnitude over 448.
    """
    inputs = weight.shape[-1]
    if kind == "fp8":
        codes, scales = quantize_blocks(weight, block)
        return Quantised(codes, scales, kind, inputs, block)
    groups = in_groups(weight.detach().float())
    scales = group_scales(groups, kind)
    return rounded(groups, scales, kind, inputs)


def in_groups(weight: Tensor) -> Tensor:
    """[..., I] -> [..., G, 32], the last group filled up with zeros."""
    filled = torch.nn.functional.pad(weight, (0, -weight.shape[-1] % GROUP))
    return filled.view(*filled.shape[:-1], filled.shape[-1] // GROUP, GROUP)


def group_scales(groups: Tensor, kind: str) -> Tensor:
    """The scale of each group of 32 numbers, float16 [..., G]."""
    if kind == "int8":
        wanted = groups.abs().amax(-1) / 127
    else:
        wanted = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))[..., 0] / -8
    return wanted.bfloat16().half()


def rounded(groups: Tensor, scales: Tensor, kind: str, inputs: int) -> Quantised:
    """Groups [..., G, 32] as the codes nearest to them under scales [..., G]; 0 where a scale is 0."""
    steps = groups / scales.float()[..., None]
    steps = torch.where(scales[..., None] == 0, 0.0, steps).round()
    if kind == "int8":
        codes = steps.clamp(-127, 127).to(torch.int8).flatten(-2)[..., :inputs].contiguous()
        return Quantised(codes, scales, kind, inputs)
    codes = (steps.clamp(-8, 7) + 8).to(torch.uint8).flatten(-2)[..., :inputs]
    return Quantised(in_bytes(codes), scales, kind, inputs)
