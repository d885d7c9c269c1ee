"""Kernels of our own for processors: the library that native/ of a clone holds the sources of, and its functions.

Built once a machine, loaded by ctypes; without a compiler there is none, and `ops` computes by PyTorch.
"""
