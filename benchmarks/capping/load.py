"""Clients that race for what is left of one key, and what each of them saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from dataclasses import dataclass, field

import httpx2

WORDS = 20  # of a prompt, each a token
PROMPT = " ".join(["word"] * WORDS)
PROMPT_BOUND = 1024  # tokens that a gateway may hold for it, by its bytes
REFUSALS = 12  # after which a client stops


@dataclass
class Call:
    """One request as its client saw it. cost: pico-dollars that its answer told, None: it told none."""

    began: float
    asked: int
    ended: float = float("inf")
    status: int = 0
    lowered: int | None = None
    cost: int | None = None
    said: str = ""  # why it was refused


@dataclass
class Load:
    """How a cell is asked. asked: max_tokens, drawn for each; aborts: share of streams whose client leaves."""

    clients: int
    asked: tuple[int, ...]
    seconds: float
    aborts: float = 0.0
    calls: list[Call] = field(default_factory=list)

    async def run(self, urls: list[str], secret: str) -> None:
        """All clients at once, each asking one gateway after the other."""
        headers = {"Authorization": f"Bearer {secret}"}
        ends = time.monotonic() + self.seconds
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
            await asyncio.gather(*(self._client(client, urls, number, ends) for number in range(self.clients)))

    async def _client(self, client: httpx2.AsyncClient, urls: list[str], number: int, ends: float) -> None:
        draw, refused = random.Random(number), 0
        for url in itertools.islice(itertools.cycle(urls), number, None):
            if time.monotonic() > ends or refused >= REFUSALS:
                return
            call = Call(time.monotonic(), draw.choice(self.asked))
            self.calls.append(call)
            leaves = draw.random() < self.aborts
            try:
                await (self._leave(client, url, call) if leaves else self._ask(client, url, call))
            except httpx2.HTTPError:  # its gateway was killed
                await asyncio.sleep(0.05)
            call.ended = time.monotonic()
            refused += call.status == 402
            if call.status != 200:
                await asyncio.sleep(0.02)

    async def _ask(self, client: httpx2.AsyncClient, url: str, call: Call) -> None:
        answer = await client.post(f"{url}/v1/chat/completions", json=_body(call.asked))
        call.status = answer.status_code
        if call.status == 402:
            call.said = answer.json()["error"]["message"]
        if "x-centime-max-tokens" in answer.headers:
            call.lowered = int(answer.headers["x-centime-max-tokens"])
        if call.status == 200:
            whole, _, rest = answer.json()["usage"]["cost"]["list_price"].partition(".")
            call.cost = int(whole) * 10**12 + int(rest.ljust(12, "0"))

    async def _leave(self, client: httpx2.AsyncClient, url: str, call: Call) -> None:
        body = _body(call.asked) | {"stream": True}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            call.status = answer.status_code
            taken = 0
            async for _ in answer.aiter_bytes():
                taken += 1
                if taken >= 3:
                    return


def _body(asked: int) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": asked}


def probe(url: str, secret: str) -> int:
    """How many answers of one token are still given once everything has ended, one after the other."""
    body = json.dumps(_body(1))
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    given = 0
    with httpx2.Client(timeout=60, trust_env=False) as client:
        while client.post(f"{url}/v1/chat/completions", content=body, headers=headers).status_code == 200:
            given += 1
    return given
