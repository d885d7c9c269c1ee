"""Kernels for GPUs, in Triton; the plain references stand in `ops`, beside what processors use.

Imported only where a tensor on a GPU is computed with and Triton is installed, as it is with PyTorch's CUDA builds.
Without a GPU Triton's interpreter runs them (TRITON_INTERPRET=1 before Triton is imported), element by element.
"""
