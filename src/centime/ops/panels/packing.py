"""Matrices in panels: bf16 as it is, whole numbers of 8 or 4 bits in groups of 32 inputs, or e4m3 numbers in blocks.

native/centime.h has the order of numbers; `reference` makes panels, and takes them apart, by PyTorch's own operations.
Letters of shapes: O outputs, I inputs, G groups of them, F an expert's width; a panel holds 32 outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from centime.native.library import KINDS, Library, Matrix, library
from centime.ops.large_pages import LINE, Arena
from centime.ops.panels import reference
from centime.ops.panels.reference import BITS, HALF, PANEL
from centime.ops.quantised import GROUP, Quantised

_memory = Arena()


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
        """The matrices as they were, [..., O, I] or [..., 2, F, I], bf16; of codes what they stand for."""
        rows = reference.unpacked(self.detach(), self.kind, self.inputs)  # [..., panels, 2, 16, I]
        whole = rows.movedim(-3, -4).flatten(-3, -2) if self.gated else rows.flatten(-4, -2)
        return whole[..., : self.outputs, :]

    def matrix(self) -> Matrix:
        """As the kernels are told of it; the panels must outlive it."""
        return Matrix(self.data_ptr(), self.outputs, self.inputs, KINDS[self.kind])


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
    quantised = weight if isinstance(weight, Quantised) else None
    kind, inputs = (quantised.kind, quantised.inputs) if quantised is not None else ("bf16", weight.shape[-1])
    numbers = weight.detach().contiguous()
    scales = quantised.scales.contiguous() if quantised is not None else numbers
    stack, outputs = weight.shape[: -3 if gated else -2], weight.shape[-2]
    count = -(-outputs // (HALF if gated else PANEL))
    form = (inputs // 2, 2, HALF, 2) if quantised is None else (_panel_bytes(kind, inputs),)
    stored = _memory.empty((*stack, count, *form), numbers.dtype if quantised is None else torch.uint8)
    packed = Panels(stored, kind, (outputs, inputs), gated=gated)
    library_of_panels().pack(
        *(numbers.data_ptr(), scales.data_ptr(), quantised.block if quantised is not None else 0),
        *(stack.numel(), gated, packed.matrix()),
    )
    return packed


def _panel_bytes(kind: str, inputs: int) -> int:
    groups = -(-inputs // GROUP)
    if kind == "fp8":
        return -(-8 * groups // LINE) * LINE + groups * PANEL * GROUP
    return groups * (PANEL * GROUP * BITS[kind] // 8 + 2 * PANEL)


def use_torch_threads() -> None:
    """Lets our kernels share their work among as many threads as torch's."""
    if found := library():
        found.use_threads(torch.get_num_threads())


def library_of_panels() -> Library:
    """The kernels; there are some, since there are panels."""
    found = library()
    assert found is not None, "panels are made where there are kernels"
    return found
