"""Matrices in panels: bf16 as it is, whole numbers of 8 or 4 bits in groups of 32 inputs, or e4m3 numbers in blocks.

native/centime.h has the order of numbers. Letters of shapes: O outputs, I inputs, G groups of them, F an expert's
width; a panel holds 32 outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centime.native.library import KINDS, Library, Matrix, library
from centime.ops.quantised import GROUP, Quantised

PANEL, HALF = 32, 16
LINE = 64  # bytes of a cache's line
BITS = {"int8": 8, "int4": 4}


class Panels(nn.Parameter):
    """Matrices [..., O, I] as panels: bf16 [..., O / 32, I / 2, 2, 16, 2], or [..., O / 32, bytes of a panel].

    Rows of zeros fill the last panel up. gated: of matrices [..., 2, F, I], in panels of 16 rows of both halves. Has no
    gradient.
    """

    kind: str  # "bf16", "int8", "int4" or "fp8"
    outputs: int  # O, or F where gated
    inputs: int  # I
    gated: bool

    def __new__(cls, panels: Tensor, kind: str, shape: Sequence[int], *, gated: bool = False) -> Self:
        """shape: of the matrices as they were."""
        self: Self = super().__new__(cls, panels, requires_grad=False)
        self.kind, self.gated = kind, gated
        self.outputs, self.inputs = shape[-2:]
        return self

    def dense(self) -> Tensor:
        """The matrices as they were, [..., O, I] or [..., 2, F, I], bf16; of whole numbers what they stand for."""
        if self.kind == "bf16":
            pairs = self.detach().movedim(-4, -2)  # [..., panels, 2, 16, I / 2, 2]
            return self._rows(pairs.flatten(-2))
        stored, groups = self.detach(), -(-self.inputs // GROUP)
        unpacked = _fp8_unpacked(stored, groups) if self.kind == "fp8" else _unpacked(stored, BITS[self.kind])
        numbers = unpacked[0].float().unflatten(-1, (-1, GROUP)) * unpacked[1].float()[..., None]
        return self._rows(numbers.flatten(-2)[..., : self.inputs].bfloat16())

    def matrix(self) -> Matrix:
        """As the kernels are told of it; the panels must outlive it."""
        return Matrix(self.data_ptr(), self.outputs, self.inputs, KINDS[self.kind])

    def _rows(self, panels: Tensor) -> Tensor:
        """[..., panels, 2, 16, I] -> the matrices, without what filled them up."""
        rows: Tensor = panels.movedim(-3, -4).flatten(-3, -2) if self.gated else panels.flatten(-4, -2)
        return rows[..., : self.outputs, :]


def can_panel(weight: Tensor) -> bool:
    """Whether a matrix can be kept in panels here: there are kernels, and it is bf16 or quantised.

    Of bf16 and FP8 the number of inputs is even; FP8's blocks are whole groups, as DeepSeek's are.
    """
    if isinstance(weight, Quantised):
        fits = weight.kind in BITS or (weight.block % GROUP == 0 and weight.inputs % 2 == 0)
    else:
        fits = weight.dtype == torch.bfloat16 and weight.shape[-1] % 2 == 0
    return fits and weight.device.type == "cpu" and library() is not None


def panels(weight: Tensor, *, gated: bool = False) -> Panels:
    """W [..., O, I], bf16 or quantised, in panels; gated: [..., 2, F, I], in panels of 16 rows of both halves."""
    if isinstance(weight, Quantised) and weight.kind == "fp8":
        return _fp8_panels(weight, gated)
    if isinstance(weight, Quantised):
        return whole_panels(weight.numbers(), weight.scales, BITS[weight.kind], gated=gated)
    pairs = _halves(weight.detach(), gated).unflatten(-1, (-1, 2))
    return Panels(pairs.movedim(-2, -4).contiguous(), "bf16", weight.shape, gated=gated)


def whole_panels(codes: Tensor, scales: Tensor, bits: int, *, gated: bool = False) -> Panels:
    """Whole numbers [..., O, I] int8 (of `bits`: 8, or 4 from -8 to 7) and scales float16 [..., O, G] in panels.

    gated: [..., 2, F, I] and [..., 2, F, G].
    """
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
    return Panels(together.flatten(-2), f"int{bits}", codes.shape, gated=gated)


def _fp8_panels(weight: Quantised, gated: bool) -> Panels:
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
    return Panels(torch.cat((filled, numbers), dim=-1), "fp8", (*weight.shape[:-1], weight.inputs), gated=gated)


def _halves(weight: Tensor, gated: bool) -> Tensor:
    """[..., O, I] or [..., 2, F, I] -> [..., panels, 2, 16, I], filled up with rows of zeros."""
    filled = F.pad(weight, (0, 0, 0, -weight.shape[-2] % (HALF if gated else PANEL)))
    *stack, outputs, inputs = filled.shape
    if gated:
        return filled.view(*stack, -1, HALF, inputs).movedim(-4, -3)
    return filled.view(*stack, outputs // PANEL, 2, HALF, inputs)


def _unpacked(panels: Tensor, bits: int) -> tuple[Tensor, Tensor]:
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


def use_torch_threads() -> None:
    """Lets our kernels share their work among as many threads as torch's."""
    if found := library():
        found.use_threads(torch.get_num_threads())


def library_of_panels() -> Library:
    """The kernels; there are some, since there are panels."""
    found = library()
    assert found is not None, "panels are made where there are kernels"
    return found
