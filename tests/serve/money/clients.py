"""Clients that ask for all kinds of answers, and leave when they like."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

WORDS = "the cat sat on the mat and the dog ate the hat 0123456789"
REPLY = {"type": "object", "properties": {"sat": {"type": "boolean"}}, "required": ["sat"]}
TOOL = {"type": "function", "function": {"name": "sit", "parameters": REPLY}}


@dataclass
class Told:
    """What one client saw of its request."""

    key: str
    status: int | None = None  # None: it left before it heard
    pico: int | None = None  # what it was told that it is charged
    left: bool = False
    error: str = ""


@dataclass
class Clients:
    """Some threads that ask one request after the other."""

    url: str
    secrets: dict[str, str]
    seed: int
    told: list[Told] = field(default_factory=list)

    def run(self, threads: int, each: int) -> None:
        """Until all have been answered, or have left."""
        working = [threading.Thread(target=self._work, args=(number, each)) for number in range(threads)]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()

    def _work(self, number: int, each: int) -> None:
        draw = random.Random(f"{self.seed} {number}")
        for _ in range(each):
            key = draw.choice([*self.secrets])
            told = Told(key)
            self.told.append(told)
            # a client of its own each, so that leaving closes the connection
            with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.secrets[key]}"}) as client:
                path, body = a_request(draw)
                leaves = draw.choice([None, None, draw.uniform(0.001, 0.4)])
                try:
                    if body.get("stream"):
                        _stream(client, path, body, told, draw.choice([None, None, draw.randint(0, 6)]))
                    else:
                        _whole(client, path, body, told, leaves)
                except (httpx.TimeoutException, httpx.RemoteProtocolError) as error:
                    told.left, told.error = True, repr(error)


def a_request(draw: random.Random) -> tuple[str, dict[str, Any]]:
    """(path, body)."""
    begin = draw.randint(0, 12)
    prompt = " ".join(["json", *WORDS.split()[begin % 5 :] * draw.randint(1, 4)])
    body: dict[str, Any] = {
        "model": "small", "max_tokens": draw.choice([1, 2, 5, 20, 60]), "n": draw.choice([1, 1, 1, 2, 3]),
        "temperature": draw.choice([0, 1.0]), "seed": draw.randint(0, 9), "stream": draw.random() < 0.5,
    }  # fmt: skip
    if body["stream"]:
        body["stream_options"] = {"include_usage": True}
    if draw.random() < 0.2:
        body["stop"] = draw.choice(["a", " the", ["e", "1"]])
    if draw.random() < 0.4:
        return "/v1/completions", body | {"prompt": prompt} | ({"ignore_eos": True} if draw.random() < 0.5 else {})
    body["messages"] = [{"role": "user", "content": prompt}]
    kind = draw.randint(0, 4)
    if kind == 0:
        schema = {"name": "reply", "schema": REPLY}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == 1:
        body["response_format"] = {"type": "json_object"}
    elif kind == 2:
        body |= {"tools": [TOOL], "tool_choice": draw.choice(["auto", "required"])}
    return "/v1/chat/completions", body


def _whole(client: httpx.Client, path: str, body: dict[str, Any], told: Told, leaves: float | None) -> None:
    answer = client.post(path, json=body, timeout=60 if leaves is None else leaves)
    told.status = answer.status_code
    found = answer.json()
    if answer.status_code == 200:
        told.pico = _pico(found["usage"])
    else:
        told.error = found["error"]["message"]


def _stream(client: httpx.Client, path: str, body: dict[str, Any], told: Told, leaves_after: int | None) -> None:
    with client.stream("POST", path, json=body, timeout=60) as answer:
        told.status = answer.status_code
        if answer.status_code != 200:
            told.error = json.loads(answer.read())["error"]["message"]
            return
        for number, line in enumerate(answer.iter_lines()):
            if leaves_after is not None and number >= leaves_after:
                told.left = True
                return
            if line.startswith("data: {"):
                event = json.loads(line[6:])
                told.error = event.get("error", {}).get("message", "")
                if event.get("usage"):
                    told.pico = _pico(event["usage"])


def _pico(usage: dict[str, Any]) -> int | None:
    cost = usage.get("cost")
    return None if cost is None else int(Decimal(cost["list_price"]) * 10**12)
