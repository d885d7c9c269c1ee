"""A gateway put in front of a scripted upstream, with what a test asks of it and what the ledger says."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
from tests.serve.gateway.running import DONE, Scripted, chunk, gateway_over, serving, usage_chunk

from centime.ledger.served import Served, served_rows
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.gateway.gateway import Gateway
from centime.serve.telemetry.exchange import Observer

ASK = {"model": "org/m", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = [chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage_chunk(100, 2, 60), DONE]
COST = (60 * 1 + 40 * 2 + 2 * 3) * 10**6  # pico-dollars, of 100 prompt tokens with 60 found, and 2 of output


class Put:
    """A gateway in front of a scripted upstream."""

    def __init__(self, home: Path, stack: ExitStack, upstream: Scripted, **given: Any) -> None:
        self.upstream, self.home = upstream, home
        self.observers: list[Observer] = given.setdefault("observers", [])  # one may be added while it runs
        self.inner = stack.enter_context(serving(upstream.app))
        self.url, self.gateway = stack.enter_context(gateway_over(self.inner, home, **given))
        self.client = stack.enter_context(httpx2.Client(base_url=self.url, timeout=30))

    def post(self, body: Any = ASK, path: str = "/v1/chat/completions", **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})

    def events(self, **more: Any) -> list[Any]:
        """The data of a stream's events, parsed where they are JSON."""
        text = self.post(ASK | {"stream": True} | more).text
        data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
        return [json.loads(line) if line != "[DONE]" else line for line in data]

    def served(self) -> list[Served]:
        """The ledger's rows, once what runs is settled."""
        settled(self.gateway)
        return served_rows(sqlite3.connect(self.home / "ledger.sqlite"))

    def sums(self) -> tuple[int, ...]:
        """(requests, prompt, hit, output tokens, pico-dollars) of all that was served."""
        rows = self.served()
        names = ("requests", "prompt_tokens", "hit_tokens", "output_tokens", "list_pico")
        return tuple(sum(getattr(row, name) for row in rows) for name in names)


def settled(gateway: Gateway) -> None:
    for _ in range(2000):
        if not gateway.calls:
            return
        time.sleep(0.005)
    raise AssertionError("an exchange never ended")


def key(made: Put, **given: Any) -> dict[str, str]:
    """The header of a new key."""
    store = Store(made.home / "ledger.sqlite")
    secret = add_key(store, given.pop("name", "alice"), **given)
    store.close()
    return {"Authorization": f"Bearer {secret}"}
