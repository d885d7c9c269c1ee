"""Matrices of 8 and 4 bits with scales: what is kept of them, how they are made, and the plain way back."""

from centime.ops.quantised.matrix import GROUP, KINDS, Quantised, fp8_blocks
from centime.ops.quantised.rounding import quantise

__all__ = ["GROUP", "KINDS", "Quantised", "fp8_blocks", "quantise"]
