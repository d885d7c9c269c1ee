"""Newton-Schulz's iteration, by which Muon orthogonalises matrices (Jordan 2024; DeepSeek-V4 report, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.ops.native import float_kernels_for

Coefficients = Sequence[tuple[float, float, float]]

FAST = (3.4445, -4.7750, 2.0315)  # steep at zero, so small singular values grow fast (Jordan 2024; V4 report)
EXACT = (2.0, -1.5, 0.5)  # converges to one (V4 report)
V4_STEPS: Coefficients = (FAST,) * 8 + (EXACT,) * 2
FIVE_STEPS: Coefficients = (FAST,) * 5

# Numbers of a matrix up to which our kernels take it: a thread keeps it, and what the iteration makes of it, in its
# cache. At 64 x 128 they were 2.9 times as fast as PyTorch's batched products, at 256 x 1,024 1.25 (docs/log.md).
SMALL = 2**18


def orthogonalise_reference(
    matrices: Tensor, coefficients: Coefficients = V4_STEPS, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """U V^T of each matrix's singular value decomposition U S V^T, approximately; [..., M, N] in, the same out.

    X = X / |X|, then X <- a X + (b X X^T + c (X X^T)^2) X a step. A zero matrix stays zero.
    """
    batch = matrices.reshape(-1, *matrices.shape[-2:])
    tall = batch.shape[1] > batch.shape[2]
    x = (batch.mT if tall else batch).to(dtype).contiguous()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True, dtype=torch.float32) + 1e-20).to(dtype)
    for a, b, c in coefficients:
        gram = torch.bmm(x, x.mT)
        mixed = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, mixed, x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape).to(matrices.dtype)


def orthogonalise(
    matrices: Tensor, coefficients: Coefficients = V4_STEPS, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """The same, of small matrices in float32 in one call: each stays in one thread's cache from the first step on."""
    rows, columns = matrices.shape[-2:]
    kernels = float_kernels_for(matrices) if dtype == torch.float32 and 0 < rows * columns <= SMALL else None
    if kernels is None:
        return orthogonalise_reference(matrices, coefficients, dtype)
    out = matrices.detach().clone(memory_format=torch.contiguous_format)
    steps = torch.tensor(coefficients, dtype=torch.float32)
    kernels.orthogonalise(
        out.data_ptr(), out.numel() // (rows * columns), rows, columns, steps.data_ptr(), len(coefficients)
    )
    return out
