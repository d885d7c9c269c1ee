"""A server with OpenAI's API whose answers cost nothing to make, and whose log is the judge of what was delivered.

usage: upstream.py LOG PORT COUNTS (1, or 0 for one without /tokenize)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN_S = 0.002
MOST_TOKENS = 80  # of an answer, however many may be made


class Upstream:
    """vLLM by its words. A token is a word of the prompt; half of every other prompt is found in a cache."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._draw = random.Random(0)
        self._asked = 0

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]})

    async def tokenize(self, request: Request) -> Response:
        return JSONResponse({"count": _words(await request.json())})

    async def chat(self, request: Request) -> Response:
        try:
            body = await request.json()
        except ClientDisconnect:
            return Response()
        self._asked += 1
        number = f"{os.getpid()}-{self._asked}"
        prompt = _words(body)
        hit = prompt // 2 if self._asked % 2 else 0
        most = min(body.get("max_tokens") or MOST_TOKENS, MOST_TOKENS)
        output = self._draw.randint(1, most)
        if body.get("stream"):
            return StreamingResponse(self._stream(number, prompt, hit, output), media_type="text/event-stream")
        await asyncio.sleep(output * TOKEN_S)
        self._tell(number, prompt, hit, output)
        message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a " * output}}
        return JSONResponse({"id": number, "choices": [message], "usage": _usage(prompt, hit, output)})

    async def _stream(self, number: str, prompt: int, hit: int, output: int) -> AsyncIterator[str]:
        sent = 0
        try:
            for _ in range(output):
                await asyncio.sleep(TOKEN_S)
                sent += 1
                chunk = {"id": number, "choices": [{"index": 0, "delta": {"content": "a "}}]}
                chunk["usage"] = _usage(prompt, hit, sent)
                yield f"data: {json.dumps(chunk)}\n\n"
            end = {"id": number, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            yield f"data: {json.dumps(end)}\n\n"
            last = {"id": number, "choices": [], "usage": _usage(prompt, hit, sent)}
            yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"
        finally:
            self._tell(number, prompt, hit, sent)

    def _tell(self, number: str, prompt: int, hit: int, output: int) -> None:
        self._log.write(json.dumps({"id": number, "prompt": prompt, "hit": hit, "output": output}) + "\n")


def _words(body: dict[str, Any]) -> int:
    return sum(len(turn["content"].split()) for turn in body["messages"])


def _usage(prompt: int, hit: int, output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": hit},
    }


if __name__ == "__main__":
    made = Upstream(Path(sys.argv[1]))
    routes = [
        Route("/v1/models", made.models),
        *([Route("/tokenize", made.tokenize, methods=["POST"])] if sys.argv[3] == "1" else []),
        Route("/v1/chat/completions", made.chat, methods=["POST"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
