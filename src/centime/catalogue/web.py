"""What another machine answers, read whole or not at all."""

from __future__ import annotations

import time
from http.client import HTTPResponse


def read_answer(answer: HTTPResponse, most: int, seconds: float) -> bytes:
    """Its body, of at most `most` bytes, within `seconds`. Raises ValueError for what is larger or cut short,
    TimeoutError for what takes longer."""
    until, found = time.monotonic() + seconds, bytearray()
    while piece := answer.read1(65536):
        found += piece
        if len(found) > most:
            raise ValueError(f"it is larger than {most:,} bytes")
        if time.monotonic() > until:
            raise TimeoutError
    if answer.length:  # what it announced and did not send
        raise ValueError("it was cut short")
    return bytes(found)
