"""An upstream whose answers take the same time each, and say how long; and a client that asks at a fixed rate.

usage: steady.py PORT

Both speak HTTP/1.1 on plain sockets, so that they cost the machine little beside what is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

ANSWER_S = 0.02
WARM_S = 3.0  # before anything is measured


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            began = time.perf_counter()
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if length is not None:
                await reader.readexactly(int(length[1]))
            if head.startswith(b"GET"):
                writer.write(_whole({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}))
                continue
            await asyncio.sleep(ANSWER_S)
            message = {"role": "assistant", "content": "a"}
            usage = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            writer.write(_whole(body | {"usage": usage, "system_fingerprint": f"{time.perf_counter() - began:.6f}"}))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _whole(body: dict[str, object]) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


async def added(port: int, secret: str, rate: float, seconds: float) -> tuple[list[float], int]:
    """(seconds of each request beyond what its upstream took, requests that failed), at `rate` requests a second,
    each begun at its own instant whether or not those before it have ended."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 20}], "max_tokens": 8}).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (secret.encode(), len(body), body)
    )
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    found: list[float] = []
    failed = 0

    async def one(due: float, counts: bool) -> None:
        nonlocal failed
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            content = await reader.readexactly(int(length[1])) if length else b""
            took = re.search(rb'"system_fingerprint": ?"([\d.]+)"', content)
            idle.append((reader, writer))
            if took is None or not head.startswith(b"HTTP/1.1 200"):
                failed += 1
            elif counts:
                found.append(time.perf_counter() - due - float(took[1]))
        except (OSError, asyncio.IncompleteReadError):
            failed += 1

    began, running = time.perf_counter(), set()
    for number in range(round(rate * (WARM_S + seconds))):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.add(task := asyncio.create_task(one(due, number >= rate * WARM_S)))
        task.add_done_callback(running.discard)
    await asyncio.wait(running, timeout=30)
    for _, writer in idle:
        writer.close()
    return found, failed


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
