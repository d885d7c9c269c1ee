"""Half an hour of 32 clients who leave, dawdle and send nonsense: no fault of the server, flat memory, a true ledger.

`CENTIME_SOAK_MINUTES` sets another length. The server checks its cache's books after every step.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from tests.forked import centime
from tests.serve.process import ServerProcess
from tests.small import small_folder

pytestmark = pytest.mark.long

CLIENTS = 32
MINUTES = float(os.environ.get("CENTIME_SOAK_MINUTES", "30"))
WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "ate", "the", "hat"]
NONSENSE = [
    b"",
    b"{",
    b"[]",
    b'{"model": 3}',
    b'{"messages": [], "prompt": 7, "model": "small"}',
    b"\xff\xfe",
    b'{"prompt": "\\ud800"}',
]


class Client(threading.Thread):
    """One client: a random request after another until `end`."""

    def __init__(self, url: str, number: int, end: float) -> None:
        super().__init__()
        self.url, self.end, self.draw = url, end, random.Random(number)
        self.statuses: Counter[int] = Counter()
        self.finished = self.prompt_tokens = self.output_tokens = 0
        self.troubles: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=120) as http:
            while time.monotonic() < self.end:
                action = self.draw.choice([self.ask, self.ask, self.stream, self.leave, self.babble, self.dawdle])
                try:
                    action(http)
                except (httpx.HTTPError, OSError, AssertionError, ValueError) as trouble:
                    self.troubles.append(f"{action.__name__}: {trouble!r}")

    def body(self, **more: object) -> dict[str, object]:
        content = " ".join(self.draw.choices(WORDS, k=self.draw.randrange(1, 40)))
        wanted = {"max_tokens": self.draw.randrange(1, 60), "temperature": self.draw.choice([0, 1])}
        return {"model": "small", "messages": [{"role": "user", "content": content}], **wanted, **more}

    def count(self, usage: dict[str, int]) -> None:
        self.finished += 1
        self.prompt_tokens += usage["prompt_tokens"]
        self.output_tokens += usage["completion_tokens"]

    def ask(self, http: httpx.Client) -> None:
        answer = http.post("/v1/chat/completions", json=self.body())
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.count(answer.json()["usage"])

    def stream(self, http: httpx.Client) -> None:
        body, usage = self.body(stream=True, stream_options={"include_usage": True}), None
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            self.statuses[answer.status_code] += 1
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    usage = json.loads(line[6:]).get("usage") or usage
        if answer.status_code == 200:
            assert usage is not None, "a stream without usage"
            self.count(usage)

    def leave(self, http: httpx.Client) -> None:
        body = self.body(stream=True, max_tokens=300, ignore_eos=True)
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            self.statuses[answer.status_code] += 1
            for _, _ in zip(range(self.draw.randrange(4)), answer.iter_lines(), strict=False):
                pass

    def babble(self, http: httpx.Client) -> None:
        path = self.draw.choice(["/v1/chat/completions", "/v1/completions", "/anthropic/v1/messages", "/nowhere"])
        answer = http.post(path, content=self.draw.choice(NONSENSE), headers={"content-type": "application/json"})
        self.statuses[answer.status_code] += 1
        assert 400 <= answer.status_code < 500

    def dawdle(self, http: httpx.Client) -> None:
        """A stream that is read a few bytes at a time, and left in the middle."""
        where = urlsplit(self.url)
        body = json.dumps(self.body(stream=True, max_tokens=200, ignore_eos=True)).encode()
        with socket.create_connection((where.hostname, where.port), timeout=120) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            raw.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            for _ in range(self.draw.randrange(1, 30)):
                raw.recv(64)
                time.sleep(0.02)


def test_soak(tmp_path: Path, centime_home: Path) -> None:
    folder = small_folder(tmp_path / "small", positions=512)
    began = time.monotonic()
    with ServerProcess(
        str(folder),
        "--cache",
        "0.05",
        "--price",
        "$2/h",
        "--price-list",
        "0.1,1,2",
        "--max-queue",
        "16",
        "--check-cache",
    ) as server:
        ready = time.monotonic()
        memory = psutil.Process(server.process.pid).memory_info
        clients = [Client(server.url, number, time.monotonic() + MINUTES * 60) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        sizes: list[int] = []
        while any(client.is_alive() for client in clients):
            sizes.append(memory().rss)
            time.sleep(1)
        for client in clients:
            client.join()
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0, server.said[-3000:]
        elapsed, served_for = time.monotonic() - began, time.monotonic() - ready

        assert [trouble for client in clients for trouble in client.troubles] == []
        statuses = sum((client.statuses for client in clients), Counter())
        assert not {status for status in statuses if status >= 500}, statuses
        assert "Traceback" not in server.said
        quarter = len(sizes) // 4
        early, late = max(sizes[quarter : 2 * quarter]), max(sizes[-quarter:])
        assert late < early * 1.1 + 20 * 2**20, f"memory grew from {early / 2**20:.0f} to {late / 2**20:.0f} MiB"

        bill = json.loads(centime("bill", "--json").stdout)
        serving = bill["serving"]
        told = sum(client.finished for client in clients)
        assert told <= serving["total"]["requests"]  # those who left count too
        assert sum(client.prompt_tokens for client in clients) <= serving["total"]["prompt_tokens"]
        booked = serving["device_ns"] / 1e9
        assert booked <= elapsed
        assert booked == pytest.approx(elapsed, abs=1.5)
        engine = (serving["finished_ns"] + serving["unfinished_ns"] + serving["idle_ns"]) / 1e9
        assert engine == pytest.approx(served_for, abs=3)  # from the engine's start, just before it listens, to its end
