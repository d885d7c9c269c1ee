"""Numbers to codes and scales: symmetric, each rounded to the nearest.

Letters of shapes: O outputs and I inputs of a matrix, G = ceil(I / 32) groups of inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from centime.ops.fp8 import BLOCK, quantize_blocks
from centime.ops.quantised.matrix import GROUP, Quantised, flat, in_bytes, rows_at_once

STEPS = [7 + 0.1 * step for step in range(21)]  # what int4's largest number is tried at, in steps of its scale


def quantise(weight: Tensor, kind: str, block: int = BLOCK, importance: Tensor | None = None) -> Quantised:
    """Matrices [..., O, I] of any floating type in one of KINDS; `block` is the side of fp8's blocks.

    int8: a group's scale is its largest magnitude over 127. int4: the number of largest magnitude over -8, so that
    this one is exact (GGUF's Q4_0). Such scales are numbers that float16 and bfloat16 both hold: other programs keep
    them in either. fp8: a block's scale is its largest magnitude over 448.

    importance [I] is what an error in each input's numbers weighs, such as the mean square of that input: int4's scales
    are then those of the least weighted error (`searched_scales`). The others have steps too fine for it to matter.

    Some rows at a time, so that what is computed in float32 stays small beside a large matrix.
    """
    out = Quantised.empty(tuple(weight.shape), kind, block, weight.device)
    counts = None if kind != "int4" or importance is None else in_groups(importance.float())
    outputs, inputs = weight.shape[-2:]
    matrices = weight.detach().reshape(-1, outputs, inputs)
    side = block if kind == "fp8" else 1
    rows = rows_at_once(inputs, side)
    for numbers, codes, scales in zip(matrices, flat(out.codes), flat(out.scales), strict=True):
        parts = zip(numbers.split(rows), codes.split(rows), scales.split(rows // side), strict=True)
        for part, part_codes, part_scales in parts:
            made_codes, made_scales = quantize_blocks(part, block) if kind == "fp8" else _rounded(part, kind, counts)
            part_codes.copy_(made_codes)
            part_scales.copy_(made_scales)
    return out


def _rounded(weight_OI: Tensor, kind: str, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes and scales of a few rows."""
    groups = in_groups(weight_OI.float())
    scales = group_scales(groups, kind) if importance is None else searched_scales(groups, importance)
    return codes_of(groups, scales, kind, weight_OI.shape[-1]), scales


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


def searched_scales(groups: Tensor, importance: Tensor) -> Tensor:
    """Of int4: per group the scale with the least sum of importance * error^2, float16 [..., G].

    importance [G, 32]. For each of STEPS numbers are rounded to codes q, and the best scale for these follows in closed
    form: sum(w x q) / sum(w q^2); the error that it leaves is least where sum(w x q)^2 / sum(w q^2) is largest. It is
    the search of llama.cpp's quantisation with an importance matrix.
    """
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    best, scales = torch.full(groups.shape[:-1], -1.0), group_scales(groups, "int4").float()
    for steps in STEPS:
        codes = torch.where(largest == 0, 0.0, groups * -steps / largest).round().clamp(-8, 7)
        product = (importance * groups * codes).sum(-1)
        square = (importance * codes * codes).sum(-1)
        gained = torch.where(square > 0, product * product / square, -1.0)
        better = gained > best
        best = torch.where(better, gained, best)
        scales = torch.where(better, product / square, scales)
    return scales.bfloat16().half()


def codes_of(groups: Tensor, scales: Tensor, kind: str, inputs: int) -> Tensor:
    """The codes nearest to groups [..., G, 32] under scales [..., G]; those of 0 where a scale is 0."""
    steps = groups / scales.float()[..., None]
    steps = torch.where(scales[..., None] == 0, 0.0, steps).round()
    if kind == "int8":
        return steps.clamp(-127, 127).to(torch.int8).flatten(-2)[..., :inputs]
    return in_bytes((steps.clamp(-8, 7) + 8).to(torch.uint8).flatten(-2)[..., :inputs])
