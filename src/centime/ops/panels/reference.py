"""Panels made, and taken apart again, by PyTorch's own operations: what the kernels' way of making them has to equal.

Letters of shapes: O outputs, I inputs, G groups of 32 of them, F an expert's width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from centime.ops.large_pages import LINE
from centime.ops.quantised import GROUP, Quantised

PANEL, HALF = 32, 16
BITS = {"int8": 8, "int4": 4}


def packed(weight: Tensor, *, gated: bool = False) -> Tensor:
    """The panels of W [..., O, I] bf16 or quantised; gated: of [..., 2, F, I]."""
    if isinstance(weight, Quantised):
        return (
            _fp8(weight, gated)
            if weight.kind == "fp8"
            else _whole(weight.numbers(), weight.scales, BITS[weight.kind], gated)
        )
    pairs = _halves(weight.detach(), gated).unflatten(-1, (-1, 2))
    panels: Tensor = pairs.movedim(-2, -4).contiguous()
    return panels


def unpacked(panels: Tensor, kind: str, inputs: int) -> Tensor:
    """What the numbers of panels stand for, bf16 [..., panels, 2, 16, I]."""
    if kind == "bf16":
        rows: Tensor = panels.movedim(-4, -2).flatten(-2)
        return rows
    codes, scales = _fp8_unpacked(panels, -(-inputs // GROUP)) if kind == "fp8" else _whole_unpacked(panels, BITS[kind])
    numbers = codes.float().unflatten(-1, (-1, GROUP)) * scales.float()[..., None]
    known: Tensor = numbers.flatten(-2)[..., :inputs].bfloat16()
    return known


def _whole(codes: Tensor, scales: Tensor, bits: int, gated: bool) -> Tensor:
    """Of whole numbers [..., O, I] int8 (4 bits: from -8 to 7) and scales float16 [..., O, G]."""
    stored = F.pad(codes, (0, -codes.shape[-1] % GROUP)).view(torch.uint8)
    stored = stored ^ 128 if bits == 8 else stored + 8
    if bits == 8:
        words = _halves(stored, gated).unflatten(-1, (-1, 8, 4))
    else:
        eights = _halves(stored, gated).unflatten(-1, (-1, 4, 2, 4))
        words = eights[..., 0, :] | eights[..., 1, :] << 4
    # [..., panels, 2, 16, G, words, 4 bytes] -> [..., panels, G, 2, words, 16, 4]
    numbers = words.movedim((-3, -2), (-5, -3)).flatten(-4)
    each = _halves(scales.to(torch.float16), gated).movedim(-1, -3)  # [..., panels, G, 2, 16]
    together = torch.cat((numbers, each.contiguous().view(torch.uint8).flatten(-2)), dim=-1)
    return together.flatten(-2)


def _fp8(weight: Quantised, gated: bool) -> Tensor:
    """Scales of groups first, then e4m3 numbers as native/centime.h has them. A scale of what is no number is none."""
    codes = F.pad(weight.codes.view(torch.uint8), (0, -weight.inputs % GROUP))
    halves = _halves(codes, gated).unflatten(-1, (-1, GROUP // 2, 2))  # [..., panels, 2, 16, G, 16, 2]
    numbers = halves.movedim((-3, -2), (-5, -3)).flatten(-5)  # [..., panels, G, 2, 16, 16, 2]
    nothing = ((halves & 127) == 127).flatten(-2).any(-1).any(-2)  # [..., panels, 2, G]
    spread = weight.scales.repeat_interleave(weight.block, -2)[..., : weight.outputs, :]
    spread = spread.repeat_interleave(weight.block // GROUP, -1)[..., : halves.shape[-3]]
    scales = _halves(spread, gated)[..., 0, :].masked_fill(nothing, torch.nan)  # [..., panels, 2, G]
    head = scales.movedim(-1, -2).contiguous().view(torch.uint8).flatten(-2)
    filled = F.pad(head, (0, -head.shape[-1] % LINE))
    return torch.cat((filled, numbers), dim=-1)


def _halves(weight: Tensor, gated: bool) -> Tensor:
    """[..., O, I] or [..., 2, F, I] -> [..., panels, 2, 16, I], filled up with rows of zeros."""
    filled = F.pad(weight, (0, 0, 0, -weight.shape[-2] % (HALF if gated else PANEL)))
    *stack, outputs, inputs = filled.shape
    if gated:
        return filled.view(*stack, -1, HALF, inputs).movedim(-4, -3)
    return filled.view(*stack, outputs // PANEL, 2, HALF, inputs)


def _whole_unpacked(panels: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Of panels' bytes the numbers int8 [..., panels, 2, 16, I] and scales float16 [..., panels, 2, 16, G]."""
    length = PANEL * GROUP * bits // 8
    panels = panels.unflatten(-1, (-1, length + 2 * PANEL))
    scales = panels[..., length:].contiguous().view(torch.float16).unflatten(-1, (2, HALF)).movedim(-3, -1)
    words = panels[..., :length].unflatten(-1, (2, -1, HALF, 4))  # [..., panels, G, 2, words, 16, 4]
    if bits == 8:
        numbers = (words ^ 128).view(torch.int8)
    else:
        numbers = torch.stack((words & 15, words >> 4), dim=-3).view(torch.int8) - 8  # [.., words, 2, 16, 4]
        numbers = numbers.flatten(-4, -3)
    return numbers.movedim((-5, -3), (-3, -2)).flatten(-3), scales


def _fp8_unpacked(panels: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Of panels' bytes the numbers float8 [..., panels, 2, 16, I] and scales float32 [..., panels, 2, 16, G]."""
    numbers = panels[..., -groups * PANEL * GROUP :].unflatten(-1, (groups, 2, GROUP // 2, HALF, 2))
    scales = panels[..., : 8 * groups].contiguous().view(torch.float32).unflatten(-1, (groups, 2))
    codes = numbers.movedim((-5, -3), (-3, -2)).flatten(-3).contiguous().view(torch.float8_e4m3fn)
    return codes, scales.movedim(-2, -1)[..., None, :].expand(*codes.shape[:-1], groups)
