"""Operations in a process without the kernels' library; prints why there is none."""

from __future__ import annotations

import torch

from centime.native.library import kernels, library, reason
from centime.ops.linear import linear
from centime.ops.rms_norm import rms_norm


def main() -> None:
    assert library() is None
    assert kernels() == ""
    print(reason())
    w = torch.ones(4, 2).bfloat16()
    with torch.no_grad():
        assert rms_norm(w, w[0], 0.0).tolist() == w.tolist()
        assert linear(w[:1, :2], w).tolist() == [[2.0] * 4]
