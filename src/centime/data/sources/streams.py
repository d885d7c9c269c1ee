"""Standard input, a FIFO, what a shell writes for <(...): bytes that come once, of a length that nobody knows."""

from __future__ import annotations

import io
from typing import BinaryIO

from centime.data.sources.source_file import BLOCK


class PeekedStream(io.RawIOBase):
    """A stream whose first bytes can be looked at before it is read, all of it."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._head = b""
        self._read = 0

    def peek(self, size: int = BLOCK) -> bytes:
        """The next `size` bytes, fewer at the end alone; they stay to be read."""
        if len(self._head) < size:
            self._head += self._raw.read(size - len(self._head))
        return self._head[:size]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            data, self._head = self._head + self._raw.read(), b""
        else:
            data, self._head = self._head[:size], self._head[size:]
            if len(data) < size:
                data += self._raw.read(size - len(data))
        self._read += len(data)
        return data

    def tell(self) -> int:
        """Bytes read so far."""
        return self._read

    def close(self) -> None:
        self._raw.close()
        super().close()
