"""A matrix as codes of 8 or 4 bits with scales, and the matrix that they stand for.

Letters of shapes: O outputs and I inputs of a matrix, G = ceil(I / 32) groups of inputs, b a block's side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from centime.ops.fp8 import BLOCK, dequantize_blocks, scale_shape
from centime.ops.large_pages import Arena

GROUP = 32  # inputs that share a scale in int8 and int4, as in GGUF's Q8_0 and Q4_0
KINDS = ("int8", "int4", "fp8")
_AT_ONCE = 2**20  # numbers of a matrix that are computed in float32 at a time, about

_memory = Arena()


class Quantised(nn.Parameter):
    """Matrices [..., O, I] as codes with scales; without a gradient. The parameter's own data are the codes.

    int8: codes int8 [..., O, I], scales float16 [..., O, G]; a number is code * scale.
    int4: codes uint8 [..., O, ceil(I / 2)], two of 0 to 15 a byte, the first in the lower half, scales as with int8; a
    number is (code - 8) * scale.
    fp8: codes float8_e4m3fn [..., O, I], scales float32 [..., ceil(O / b), ceil(I / b)], one a block of b x b.
    """

    kind: str  # one of KINDS
    scales: Tensor
    inputs: int  # I
    block: int  # b; 0 but in fp8

    def __new__(cls, codes: Tensor, scales: Tensor, kind: str, inputs: int, block: int = 0) -> Self:
        self: Self = super().__new__(cls, codes, requires_grad=False)
        self.kind, self.scales, self.inputs, self.block = kind, scales, inputs, block
        return self

    def __iter__(self) -> Iterator[Quantised]:
        return (self[index] for index in range(len(self)))

    @classmethod
    def empty(cls, shape: tuple[int, ...], kind: str, block: int, device: torch.device | str) -> Self:
        """Room for matrices of `shape` [..., O, I]."""
        *stack, outputs, inputs = shape
        dtype = {"int8": torch.int8, "int4": torch.uint8, "fp8": torch.float8_e4m3fn}[kind]
        width = -(-inputs // 2) if kind == "int4" else inputs
        scales = scale_shape((outputs, inputs), block) if kind == "fp8" else (outputs, -(-inputs // GROUP))
        form, on_processor = (*stack, outputs, width), torch.device(device).type == "cpu"
        return cls(
            _memory.empty(form, dtype) if on_processor else torch.empty(form, dtype=dtype, device=device),
            torch.empty(*stack, *scales, dtype=torch.float32 if kind == "fp8" else torch.float16, device=device),
            *(kind, inputs, block if kind == "fp8" else 0),
        )

    @property
    def codes(self) -> Tensor:
        """The codes as a plain tensor."""
        return self.detach()

    @property
    def outputs(self) -> int:
        """O."""
        return self.shape[-2]

    @property
    def stored_bytes(self) -> int:
        """Bytes of codes and scales."""
        return int(self.nbytes + self.scales.nbytes)

    def __getitem__(self, index: Any) -> Quantised:
        """Some of a stack: `index` is of the dimensions before O and I."""
        return Quantised(self.codes[index], self.scales[index], self.kind, self.inputs, self.block)

    def dense(self, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """The matrices [..., O, I] in `dtype`, each number computed in float32."""
        out = torch.empty((*self.shape[:-1], self.inputs), dtype=dtype, device=self.device)
        if self.kind == "fp8":
            for codes, scales, place in zip(*map(flat, (self.codes, self.scales, out)), strict=True):
                dequantize_blocks(codes, scales, self.block, place)
            return out
        count = rows_at_once(self.inputs)
        rows = (tensor.flatten(0, -2).split(count) for tensor in (self.codes, self.scales, out))
        for codes, scales, place in zip(*rows, strict=True):
            spread = scales.float().repeat_interleave(GROUP, -1)[:, : self.inputs]
            place.copy_(self._numbers(codes) * spread)
        return out

    def numbers(self) -> Tensor:
        """What the codes count, of int8 or int4: int8 [..., O, I], from -8 to 7 in int4."""
        return self._numbers(self.codes)

    def _numbers(self, codes: Tensor) -> Tensor:
        return codes if self.kind == "int8" else nibbles(codes)[..., : self.inputs].view(torch.int8) - 8


def fp8_blocks(weight: Tensor, dimensions: int) -> tuple[Tensor, Tensor] | None:
    """Numbers and scales of an FP8 matrix as GPUs multiply it: [..., O, I] of so many dimensions, where a stack of
    gate and up is one matrix of all their rows. None of other formats, of other blocks than DeepSeek's, and where two
    matrices of the stack would share a block."""
    if not isinstance(weight, Quantised) or weight.kind != "fp8" or weight.block != BLOCK:
        return None
    codes, scales = weight.codes, weight.scales
    while codes.dim() > dimensions:
        if codes.shape[-2] % BLOCK:
            return None
        codes, scales = codes.flatten(-3, -2), scales.flatten(-3, -2)
    return codes, scales


def rows_at_once(inputs: int, block: int = 1) -> int:
    """Rows of a matrix of so many inputs that are computed at a time: a multiple of `block`."""
    return max(1, _AT_ONCE // (inputs * block)) * block


def flat(stack: Tensor) -> Tensor:
    """[..., O, I] as matrices in a row."""
    return stack.view(-1, *stack.shape[-2:])


def nibbles(packed: Tensor) -> Tensor:
    """uint8 [..., n], two codes a byte, the first in the lower half -> uint8 [..., 2 n]."""
    return torch.stack((packed & 15, packed >> 4), -1).flatten(-2)


def in_bytes(codes: Tensor) -> Tensor:
    """The inverse: uint8 [..., n] of 0 to 15 -> [..., ceil(n / 2)]; beside a last one stands 8, which counts 0."""
    filled = nn.functional.pad(codes, (0, codes.shape[-1] % 2), value=8)
    return filled[..., ::2] | filled[..., 1::2] << 4
