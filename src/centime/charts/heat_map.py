"""A picture of many rows over time, as a PNG: as SVG, 256 experts over 160 moments would be 41,000 shapes."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

# Below and above the mean; their opacity says how far, so that balance is the page's own background.
BELOW, ABOVE = (42, 120, 214), (235, 104, 52)
_FULL_AT = 2.0  # a quarter and four times the mean load are fully opaque: |log2(load / mean)| = 2


def load_image(rows: Sequence[Sequence[float]]) -> str:
    """Expert loads as a data: URI of a PNG: rows are experts, columns are moments, values are load over mean load."""
    height, width = len(rows), len(rows[0]) if rows else 0
    lines = bytearray()
    for row in rows:
        lines.append(0)  # PNG filter: none
        for load in row:
            away = math.log2(max(load, 2.0**-_FULL_AT)) / _FULL_AT
            lines += bytes((*(ABOVE if away > 0 else BELOW), round(255 * min(1.0, abs(away)))))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits a channel, RGBA
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(lines), 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
