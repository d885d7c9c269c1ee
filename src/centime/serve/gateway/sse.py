"""Server-sent events: taken apart as they come, whatever their pieces, and what their data is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from centime.serve.json_body import UnreadableJson, read_json

MAX_EVENT = 16 * 2**20  # bytes: a token with its log-probabilities takes a few thousand
DONE_DATA = b"[DONE]"


class Malformed(Exception):
    """What an upstream sent is no stream of events; the message is a sentence's end."""


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The events of a body, each with its blank line; what has none at the end is an event too.

    Raises Malformed where one is larger than `MAX_EVENT`.
    """
    held, carried = bytearray(), b""
    async for piece in pieces:
        text = carried + piece
        carried = b"\r" if text.endswith(b"\r") else b""  # of a line's end perhaps, the rest of which is to come
        text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        joint = max(0, len(held) - 1)
        held += text
        if held.find(b"\n\n", joint) >= 0:
            *whole, rest = bytes(held).split(b"\n\n")
            held = bytearray(rest)
            for event in whole:
                if event.strip():
                    yield event + b"\n\n"
        if len(held) > MAX_EVENT:
            raise Malformed(f"an event of more than {MAX_EVENT // 2**20} MiB")
    if held.strip():
        yield bytes(held).rstrip(b"\n") + b"\n\n"


def data_of(event: bytes) -> bytes | None:
    """An event's data; None where it has none, as a comment."""
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def object_of(data: bytes) -> dict[str, Any] | None:
    """The JSON object that the data is; None where it is none."""
    try:
        found = read_json(data, finite=False)
    except UnreadableJson:
        return None
    return found if isinstance(found, dict) else None
