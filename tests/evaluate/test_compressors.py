"""The compressors' sizes are those of the command-line tools on the same bytes."""

from __future__ import annotations

import gzip
import lzma
import random
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.evaluate.compressors import compress

TEXT = "".join(
    random.Random(0).choice(["def f(x):\n", "    return x\n", "# why\n", "é = 猫\n"]) for _ in range(20_000)
).encode()


@settings(max_examples=12, deadline=None)  # xz -9 clears a large table at every start
@given(st.binary(max_size=2000), st.integers(1, 400))
def test_sizes_do_not_depend_on_how_the_bytes_are_cut(data: bytes, step: int) -> None:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(data), step):
            yield data[start : start + step]

    gz, xz = compress(chunks())
    assert (gz.name, gz.original, gz.size) == ("gzip -9", len(data), len(gzip.compress(data, 9)))
    assert (xz.name, xz.original, xz.size) == ("xz -9", len(data), len(lzma.compress(data, preset=9)))


def test_bits_per_byte() -> None:
    gz, xz = compress([TEXT])
    assert gz.bits_per_byte == pytest.approx(8 * gz.size / len(TEXT))
    assert 0 < xz.bits_per_byte < gz.bits_per_byte < 8
    assert compress([])[0].bits_per_byte == 0


@pytest.mark.parametrize("tool", ["gzip", "xz"])
def test_the_command_line_tool_agrees(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    size = len(subprocess.run([tool, "-9", "-c"], input=TEXT, capture_output=True, check=True).stdout)
    ours = next(c for c in compress([TEXT]) if c.name.startswith(tool))
    assert abs(ours.size - size) <= max(64, size * 0.02)  # distributions patch or replace zlib
