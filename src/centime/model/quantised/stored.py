"""A quantised matrix as a folder holds it: which tensors it is in, what they say of it, and how it is read.

Read are DeepSeek's FP8 (`X.weight`, `X.weight_scale_inv`) and compressed-tensors: `X.weight` or, several numbers in an
int32, `X.weight_packed`, with `X.weight_scale` and, where codes are not symmetric, `X.weight_zero_point`. What has no
place as it is in one of `KINDS` (other groups, zero points, scales of whole rows of FP8) becomes int8, which is finer
than what it was.

Letters of shapes: O outputs and I inputs of a matrix, S scales of one of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from centime.catalogue.hf import WeightStorage
from centime.errors import UserError
from centime.model.tensor_files import Stored
from centime.ops.fp8 import scale_shape
from centime.ops.quantised import GROUP, Quantised, quantise
from centime.ops.quantised.matrix import nibbles

_BESIDE = ("weight_scale_inv", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")
_OF_ACTIVATIONS = ("input_scale", "input_zero_point", "output_scale", "k_scale", "v_scale")  # which centime keeps whole
_WORD = 32  # bits of one of the numbers that codes are packed in


class Parts(NamedTuple):
    """The tensors that a quantised matrix is in."""

    codes: str
    scales: str
    zeros: str
    order: str


def quantised_parts(present: Mapping[str, Stored]) -> tuple[dict[str, Parts], set[str]]:
    """What each quantised matrix is in, by the name it has where it is plain; and all that stands beside codes."""
    parts = {}
    for name, (_, stored) in present.items():
        whole = name.removesuffix("_packed")
        if name.endswith(".weight_packed") or (name.endswith(".weight") and stored in ("F8_E4M3", "I8")):
            inverse = f"{whole}_scale_inv"
            scales = inverse if inverse in present else f"{whole}_scale"
            parts[whole] = Parts(name, scales, f"{whole}_zero_point", f"{whole}_g_idx")
    beside = {f"{whole.removesuffix('weight')}{name}" for whole in parts for name in (*_BESIDE, *_OF_ACTIVATIONS)}
    return parts, beside


@dataclass(frozen=True)
class StoredMatrix:
    """A quantised matrix, checked; [O, I] of `bits` bits, with a scale for each block of `rows` x `inputs`."""

    parts: Parts
    shape: tuple[int, int]
    bits: int
    floats: bool
    rows: int
    inputs: int
    blocks: bool  # whether these are the square blocks of config.json
    zeros: bool  # whether its codes count from a zero point

    @property
    def kind(self) -> str:
        """Which of KINDS it is read as."""
        if self.floats:
            return "fp8" if self.blocks else "int8"
        return f"int{self.bits}" if not self.zeros and self._spreads else "int8"

    @property
    def _spreads(self) -> bool:
        """Whether its scales are those of groups of 32, some of them alike."""
        return self.inputs % GROUP == 0 or self.inputs == self.shape[1]

    def read(self, get: Callable[[str], Tensor], kind: str) -> Quantised:
        """The matrix as one of KINDS; `get` gives a tensor by its name."""
        codes, scales = self._codes(get), get(self.parts.scales)
        if kind == self.kind == "fp8":
            return Quantised(codes, scales.float(), "fp8", self.shape[1], self.rows)
        if kind == self.kind and not self.floats and not self.zeros and self._spreads:
            groups = -(-self.shape[1] // GROUP)
            wide = scales.view(-1, scales.shape[-1] if scales.dim() > 1 else 1).half()
            spread = wide.repeat_interleave(min(self.inputs // GROUP or 1, groups), -1) if wide.shape[1] > 1 else wide
            return Quantised(codes, spread.expand(self.shape[0], groups).contiguous(), kind, self.shape[1])
        return quantise(self.dense(get), kind)

    def dense(self, get: Callable[[str], Tensor]) -> Tensor:
        """The numbers that it stands for, float32 [O, I]."""
        codes, scales = self._codes(get), get(self.parts.scales).float()
        numbers = (nibbles(codes)[:, : self.shape[1]].to(torch.int8) - 8 if self.bits == 4 else codes).float()
        if self.zeros:
            numbers -= self._spread(self._zero_points(get(self.parts.zeros), scales.shape[-1]))
        return numbers * self._spread(scales)

    def _spread(self, scales: Tensor) -> Tensor:
        """One number a block -> one a number of the matrix."""
        if scales.dim() < 2:
            return scales.float().view(1, 1).expand(self.shape)
        spread = scales.float().repeat_interleave(self.rows, 0)[: self.shape[0]]
        return spread.repeat_interleave(self.inputs, 1)[:, : self.shape[1]]

    def _codes(self, get: Callable[[str], Tensor]) -> Tensor:
        """int8 or float8_e4m3fn [O, I]; of 4 bits two a byte, as Quantised has them."""
        codes = get(self.parts.codes)
        if codes.dtype != torch.int32:
            return codes
        inside = codes.contiguous().view(torch.uint8)
        if self.bits == 4:
            return inside[:, : -(-self.shape[1] // 2)]
        return (inside[:, : self.shape[1]] ^ 128).view(torch.int8)  # packed, they count from -128

    def _zero_points(self, stored: Tensor, columns: int) -> Tensor:
        """[O, S]; packed along O where they are int32."""
        if stored.dtype != torch.int32:
            return stored
        inside = stored.t().contiguous().view(torch.uint8)
        codes = nibbles(inside) if self.bits == 4 else inside
        points: Tensor = codes[:columns, : self.shape[0]].t().to(torch.int16) - 2 ** (self.bits - 1)
        return points


def check_quantised(
    where: str,
    parts: Parts,
    shape: tuple[int, ...],
    present: Mapping[str, Stored],
    storage: WeightStorage | None,
) -> StoredMatrix:
    """What a quantised matrix of `shape` is; UserError where its tensors are not what config.json makes them."""
    (found, stored), packed = present[parts.codes], parts.codes.endswith("_packed")
    what = "FP8" if stored == "F8_E4M3" else "quantised"
    if storage is None:
        said = "its block size" if what == "FP8" else "how"
        raise UserError(f"{where} is {what}, but config.json has no quantization_config to say {said}.")
    if parts.scales not in present:
        raise UserError(f"{where} is {what} and has no scales; expected a tensor {parts.scales} beside it.")
    if parts.order in present:
        raise UserError(
            f"{where} has its inputs in an order of their own ({parts.order}, of actorder); centime reads matrices "
            "whose groups are of neighbouring inputs."
        )
    if len(shape) != 2:
        raise UserError(f"{where} is {what} of shape {list(shape)}; only matrices are scaled in blocks.")
    bits = 8
    if packed:
        widths = {-(-shape[1] * bits // _WORD): bits for bits in (8, 4)}
        if stored != "I32" or len(found) != 2 or found[0] != shape[0] or found[1] not in widths:
            raise UserError(
                f"{where} is packed in {stored} {list(found)}; a matrix of {list(shape)} takes I32 "
                f"{' or '.join(str([shape[0], width]) for width in widths)}, 8 or 4 bits a number."
            )
        bits = widths[found[1]]
    elif found != shape:
        raise UserError(f"{where} has shape {list(found)}; config.json makes it {list(shape)}.")
    rows, inputs = _block(where, shape, present[parts.scales][0], storage, what == "FP8")
    blocks = rows == inputs == storage.block
    return StoredMatrix(parts, (shape[0], shape[1]), bits, what == "FP8", rows, inputs, blocks, parts.zeros in present)


def _block(
    where: str, shape: tuple[int, ...], scales: tuple[int, ...], storage: WeightStorage, floats: bool
) -> tuple[int, int]:
    """Rows and inputs that share a scale."""
    O, I = shape  # noqa: E741
    if floats and storage.block and scales == scale_shape(shape, storage.block):
        return storage.block, storage.block
    if storage.method == "compressed-tensors":
        if scales in ((), (1,)):
            return O, I
        if len(scales) == 2 and scales[0] == O and scales[1] and I % scales[1] == 0:
            return 1, I // scales[1]
    expected = f"blocks of {storage.block} make them {list(scale_shape(shape, storage.block))}" if storage.block else (
        f"expected one, {[O, 1]}, or {O} rows of as many as divide {I}"
    )  # fmt: skip
    raise UserError(f"{where} has scales {list(scales)}; {expected}.")
