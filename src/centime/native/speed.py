"""How near our kernels come to the machine's memory: the bound of decoding is reading the weights once."""

from __future__ import annotations

import ctypes
import time
from statistics import median
from typing import NamedTuple

from centime.native.library import KINDS, Library, Matrix

BYTES = 4 << 20  # of a matrix
MATRICES = 48  # more than caches hold
INPUTS = 2048


class Rates(NamedTuple):
    """Bytes a second of a plain read, and of products of one row; both on the threads that the library uses."""

    read: float
    product: float


def measure(library: Library) -> Rates:
    """Medians of calls in turns, over memory that no cache holds: about 0.1 s, of 192 MiB."""
    memory = bytearray(b"\x01") * (BYTES * MATRICES)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    outputs = BYTES // (2 * INPUTS)
    x, y = bytearray(2 * INPUTS), bytearray(2 * outputs)
    x_at, y_at = (ctypes.addressof(ctypes.c_char.from_buffer(row)) for row in (x, y))
    reads, products = [], []
    for at in range(start, start + BYTES * MATRICES, 2 * BYTES):
        began = time.perf_counter()
        library.read(at, BYTES)
        between = time.perf_counter()
        library.linear(x_at, 1, INPUTS, Matrix(at + BYTES, outputs, INPUTS, KINDS["bf16"]), y_at)
        reads.append(between - began)
        products.append(time.perf_counter() - between)
    return Rates(BYTES / median(reads), BYTES / median(products))
