"""`centime meter` on a real llama-server: its tokens to the last one, its model by name, its time by kinds of work.

llama_server.py says where the program comes from; without it these tests are skipped.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.peers.llama_server import llama_server

from centime.ledger import Book
from centime.ledger.energy import Footprint
from centime.ledger.engines import weights
from centime.ledger.engines.metering import metered
from centime.ledger.engines.shown import meter_json
from centime.ledger.imports import Terms

pytest.importorskip("gguf")
pytestmark = pytest.mark.long

PROMPT, ANSWER = 1200, 300  # tokens of a request that is nearly all prompt, and of one that is nearly all answer
TERMS = Terms("$1/h", None, 1)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a llama-server with one slot, whose model is a file that has no alias."""
    with llama_server(tmp_path_factory.mktemp("llama") / "tiny-f32.gguf", 4096) as url:
        yield url


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with Book(tmp_path / "ledger.sqlite") as book:
        yield book


class Asking:
    """Requests of two kinds, one at a time."""

    def __init__(self, url: str) -> None:
        self._client, self._url, self._drawn = httpx2.Client(timeout=60), url, random.Random(1)
        self.prompt_tokens = self.answer_tokens = 0

    def ask(self, answering: bool) -> None:
        """A short prompt and a long answer, or a long prompt and one token."""
        prompt = [self._drawn.randrange(10, 290) for _ in range(4 if answering else PROMPT)]
        body = {"prompt": prompt, "n_predict": ANSWER if answering else 1, "ignore_eos": True, "cache_prompt": False}
        told = self._client.post(f"{self._url}/completion", json=body).json()
        self.prompt_tokens += told["tokens_evaluated"]
        self.answer_tokens += told["tokens_predicted"]

    def alone(self, answering: bool, seconds: float) -> float:
        """Seconds of a request of one kind, on a server that does nothing else."""
        began, asked = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            self.ask(answering)
            asked += 1
        return (time.monotonic() - began) / asked


def test_its_tokens_are_told_to_the_last_one_and_its_model_by_name(llama: str, book: Book) -> None:
    found: list[dict[str, Any]] = []

    def meter() -> None:
        found.append(json.loads(json.dumps(meter_json(metered(book, f"{llama}/metrics", TERMS, 6, 0.1), TERMS,
                                                      Footprint(None)))))  # fmt: skip

    asking, metering = Asking(llama), threading.Thread(target=meter)
    metering.start()
    time.sleep(1)
    for number in range(20):
        asking.ask(number % 2 == 0)
    metering.join()
    parts = {part["name"]: part for hour in found[0]["hours"] for part in hour["parts"]}
    assert set(parts) == {"tiny-f32", "idle"}
    assert parts["tiny-f32"]["computed"] + parts["tiny-f32"]["cached"] == asking.prompt_tokens
    assert parts["tiny-f32"]["decoded"] == asking.answer_tokens
    assert sum(part["device_ns"] for part in parts.values()) == found[0]["device_ns"]
    assert parts["idle"]["device_ns"] > 0
    assert found[0]["energy_source"] in ("measured", "estimated")


def test_its_time_is_split_as_each_kind_takes_alone(llama: str, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request of each kind takes of the mixture is what it takes on a server that does nothing else: within
    15 %, or within the error that the meter shows where other programs disturb it by more."""
    monkeypatch.setattr(weights, "WINDOW_NS", 10**9)
    asking, stop, found = Asking(llama), threading.Event(), list[dict[str, Any]]()

    def meter() -> None:
        watch = metered(book, f"{llama}/metrics", TERMS, 60, 0.05)
        found.append(meter_json(watch, TERMS, Footprint(None)))
        stop.set()

    before = [asking.alone(answering, 8) for answering in (False, True)]
    metering, drawn, asked = threading.Thread(target=meter), random.Random(2), [0, 0]
    metering.start()
    while not stop.is_set():
        share, until = drawn.random(), time.monotonic() + 1
        while time.monotonic() < until and not stop.is_set():
            answering = drawn.random() < share
            asking.ask(answering)
            asked[answering] += 1
    after = [asking.alone(answering, 8) for answering in (False, True)]
    alone = [(one + other) / 2 * times for one, other, times in zip(before, after, asked, strict=True)]
    kinds = [0.0, 0.0]
    for part in (part for hour in found[0]["hours"] for part in hour["parts"] if part["model"]):
        kinds[0] += part["kinds_ns"]["computed"] + part["kinds_ns"]["cached"]
        kinds[1] += part["kinds_ns"]["decoded"] + part["kinds_ns"]["context"]
    assert kinds[1] / sum(kinds) == pytest.approx(alone[1] / sum(alone), rel=0.15)
