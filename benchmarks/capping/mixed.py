"""Clients of every habit: who take answers whole or as streams, at once or slowly, or leave in the midst."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter

import httpx2

PROMPT = " ".join(["word"] * 20)


class Mixed:
    """whole: request id -> the upstream's number of the answer, of those that came to their end; left: streams whose
    client left; failed: statuses of the others, 0 where the connection broke."""

    def __init__(self, clients: int, seconds: float) -> None:
        self._clients, self._seconds = clients, seconds
        self.asked = self.left = 0
        self.whole: dict[str, str] = {}
        self.failed: Counter[int] = Counter()

    async def run(self, ports: list[int], secret: str) -> None:
        """All clients at once, each asking one gateway after the other."""
        ends = time.monotonic() + self._seconds
        limits = httpx2.Limits(max_connections=None)
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx2.AsyncClient(headers=headers, timeout=120, limits=limits, trust_env=False) as client:
            await asyncio.gather(*(self._client(client, ports, number, ends) for number in range(self._clients)))

    async def _client(self, client: httpx2.AsyncClient, ports: list[int], number: int, ends: float) -> None:
        draw = random.Random(number)
        while time.monotonic() < ends:
            self.asked += 1
            name = f"soak-{number}-{self.asked}"
            url = f"http://127.0.0.1:{draw.choice(ports)}/v1/chat/completions"
            body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 80}
            try:
                if draw.random() < 0.5:
                    await self._ask(client, url, body, name)
                else:
                    await self._stream(client, url, body, name, draw)
            except httpx2.HTTPError:
                self.failed[0] += 1
                await asyncio.sleep(0.5)
            await asyncio.sleep(draw.random())

    async def _ask(self, client: httpx2.AsyncClient, url: str, body: dict[str, object], name: str) -> None:
        answer = await client.post(url, json=body, headers={"X-Request-Id": name})
        if answer.status_code == 200:
            self.whole[name] = answer.json()["id"]
        else:
            self.failed[answer.status_code] += 1
            await asyncio.sleep(0.5)

    async def _stream(
        self, client: httpx2.AsyncClient, url: str, body: dict[str, object], name: str, draw: random.Random
    ) -> None:
        habit, answer_id = draw.choice(("at once", "slowly", "leaves")), ""
        async with client.stream("POST", url, json=body | {"stream": True}, headers={"X-Request-Id": name}) as answer:
            if answer.status_code != 200:
                self.failed[answer.status_code] += 1
                return
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    self.whole[name] = answer_id
                elif line.startswith("data:"):
                    answer_id = json.loads(line[5:]).get("id") or answer_id
                if habit == "slowly":
                    await asyncio.sleep(0.02)
                elif habit == "leaves" and draw.random() < 0.1:
                    self.left += 1
                    return
