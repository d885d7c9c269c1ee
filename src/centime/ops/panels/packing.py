"""Matrices in panels: bf16 as it is, or whole numbers of 8 or 4 bits in groups of 32 inputs with one scale each.

native/centime.h has the order of numbers. Letters of shapes: O outputs, I inputs, G groups of them, F an expert's
width; a panel holds 32 outputs.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from centime.native.library import KINDS, Library, Matrix, library
from centime.ops.quantised import GROUP, Quantised

PANEL, HALF = 32, 16
BITS = {"int8": 8, "int4": 4}


class Panels(nn.Parameter):
    """Matrices [..., O, I] as panels: bf16 [..., O / 32, I / 2, 2, 16, 2], or bytes [..., O / 32, G, bytes of a group].

    Rows of zeros fill the last panel up. gated: of matrices [..., 2, F, I], in panels of 16 rows of both halves. Has no
    gradient.
    """

    kind: str  # "bf16", "int8" or "int4"
    outputs: int  # O, or F where gated
    inputs: int  # I
    gated: bool

    def __new__(cls, panels: Tensor, kind: str, shape: torch.Size, *, gated: bool = False) -> Self:
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
        codes, scales = _unpacked(self.detach(), BITS[self.kind])
        numbers = codes.float().unflatten(-1, (-1, GROUP)) * scales.float()[..., None]
        return self._rows(numbers.flatten(-2)[..., : self.inputs].bfloat16())

    def matrix(self) -> Matrix:
        """As the kernels are told of it; the panels must outlive it."""
        return Matrix(self.data_ptr(), self.outputs, self.inputs, KINDS[self.kind])

    def _rows(self, panels: Tensor) -> Tensor:
        """[..., panels, 2, 16, I] -> the matrices, without what filled them up."""
        rows: Tensor = panels.movedim(-3, -4).flatten(-3, -2) if self.gated else panels.flatten(-4, -2)
        return rows[..., : self.outputs, :]


def can_panel(weight: Tensor) -> bool:
    """Whether a matrix can be kept in panels here: bf16 with an even number of inputs, or in groups, and kernels."""
    if isinstance(weight, Quantised):
        fits = weight.kind in BITS
    else:
        fits = weight.dtype == torch.bfloat16 and weight.shape[-1] % 2 == 0
    return fits and weight.device.type == "cpu" and library() is not None


def panels(weight: Tensor, *, gated: bool = False) -> Panels:
    """W [..., O, I], bf16 or quantised, in panels; gated: [..., 2, F, I], in panels of 16 rows of both halves."""
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
    return Panels(together, f"int{bits}", codes.shape, gated=gated)


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
    scales = panels[..., length:].contiguous().view(torch.float16).unflatten(-1, (2, HALF)).movedim(-3, -1)
    words = panels[..., :length].unflatten(-1, (2, -1, HALF, 4))  # [..., panels, G, 2, words, 16, 4]
    if bits == 8:
        numbers = (words ^ 128).view(torch.int8)
    else:
        numbers = torch.stack((words & 15, words >> 4), dim=-3).view(torch.int8) - 8  # [.., words, 2, 16, 4]
        numbers = numbers.flatten(-4, -3)
    return numbers.movedim((-5, -3), (-3, -2)).flatten(-3), scales


def use_torch_threads() -> None:
    """Lets our kernels share their work among as many threads as torch's."""
    if found := library():
        found.use_threads(torch.get_num_threads())


def library_of_panels() -> Library:
    """The kernels; there are some, since there are panels."""
    found = library()
    assert found is not None, "panels are made where there are kernels"
    return found
