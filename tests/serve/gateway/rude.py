"""An upstream on a bare socket, for what no framework lets a server do: it answers with the bytes it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MODELS = json.dumps({"data": [{"id": "org/m", "owned_by": "other", "max_model_len": 1000}]}).encode()


class Reset(Exception):
    """Break the connection here, with a reset."""


def whole(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    """An HTTP answer."""
    lines = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return lines.encode() + body


def head(kind: str = "text/event-stream", more: str = "") -> bytes:
    """The head of an answer that comes in chunks."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}Transfer-Encoding: chunked\r\n\r\n".encode()


def part(data: bytes) -> bytes:
    """One chunk of it; an empty one is its end."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(body: Any) -> bytes:
    """One chunk with an event in it."""
    return part(b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n")


@contextlib.contextmanager
def rude(scripts: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Its URL. A request whose text has the name of a script is answered by it, any other by `ANSWER`.

    A script has bytes to send, numbers of seconds to wait, and Reset; at its end the connection is closed.
    """
    started, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
            length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
            body = await reader.readexactly(length)
            if lines[0].startswith("get"):
                writer.write(whole(MODELS))
            elif "/tokenize" in lines[0]:
                writer.write(whole(b"{}", status="404 Not Found"))
            elif (text := json.loads(body)["messages"][0]["content"]) in scripts:
                await perform(writer, scripts[text])
            else:
                await asyncio.sleep(0.05)  # it is there while another one goes wrong
                writer.write(whole(json.dumps(ANSWER).encode()))
            await writer.drain()
        writer.close()

    async def perform(writer: asyncio.StreamWriter, script: Sequence[Any]) -> None:
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step is Reset:
                linger = socket.SO_LINGER
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, linger, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()
            else:
                await asyncio.sleep(step)

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        found.extend([server.sockets[0].getsockname()[1], asyncio.get_running_loop()])
        started.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(10)
    try:
        yield f"http://127.0.0.1:{found[0]}"
    finally:
        found[1].call_soon_threadsafe(stop.set)
        thread.join(10)


ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "org/m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}  # fmt: skip
