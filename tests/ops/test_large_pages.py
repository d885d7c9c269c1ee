"""Memory in large pages: pieces of their own, from the beginning of a cache line on, and given back with the last."""

from __future__ import annotations

import gc
import mmap
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.ops.large_pages import CHUNK, LINE, Arena


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), min_size=1, max_size=12))
def test_pieces_are_apart(shapes: list[tuple[int, int]]) -> None:
    arena = Arena()
    pieces = [arena.empty(shape, torch.float32).fill_(float(i)) for i, shape in enumerate(shapes)]
    for i, (shape, piece) in enumerate(zip(shapes, pieces, strict=True)):
        assert piece.shape == shape
        assert piece.is_contiguous()
        assert piece.numel() == 0 or piece.data_ptr() % LINE == 0
        assert bool((piece == i).all())


def in_use() -> int:
    """Bytes of this process that are mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of memory")
def test_a_chunk_goes_with_its_last_piece() -> None:
    before, arena = in_use(), Arena()
    pieces = [arena.empty((CHUNK // 2,), torch.uint8) for _ in range(4)]
    larger = arena.empty((3 * CHUNK,), torch.uint8)
    assert in_use() - before >= 5 * CHUNK
    del pieces, larger, arena
    gc.collect()
    assert in_use() - before < CHUNK


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no system that is asked for large pages")
def test_without_large_pages_small_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999)  # as a kernel that does not know it answers
    assert Arena().empty((3, 5), torch.int16).fill_(7).sum() == 105


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no system that is asked for large pages")
def test_more_than_there_is_is_told_as_such() -> None:
    with pytest.raises(MemoryError, match="bytes"):
        Arena().empty((1 << 60,), torch.uint8)
