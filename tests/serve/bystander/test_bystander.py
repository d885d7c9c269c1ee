"""A plain request beside odd ones gets the answer, the counts and the charge that it gets alone, whatever they are."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.api.running import running
from tests.serve.bystander.odd import Odd, Routes

from centime.serve.api.service import Service

WAIT = 120.0
TEXT = [{"role": "user", "content": "the dog ate the hat"}]
SHAPE = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array", "items": {"type": "boolean"}}}}
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "greedy": ("/v1/chat/completions", {"messages": TEXT, "temperature": 0, "logprobs": True, "top_logprobs": 3}),
    "drawn": ("/v1/chat/completions", {"messages": TEXT, "seed": 5, "n": 2, "frequency_penalty": 0.4}),
    "held": ("/v1/chat/completions", {"messages": TEXT, "seed": 7, "response_format": SHAPE}),
    "text": (
        "/v1/completions",
        {"prompt": "the cat sat on", "seed": 3, "logprobs": 2, "echo": True},
    ),
    "claude": ("/anthropic/v1/messages", {"messages": TEXT, "temperature": 0.0, "stop_sequences": ["xyz"]}),
}


@dataclass(frozen=True)
class Answer:
    """What must not depend on the company: the status, all of the answer but ids and times, tokens and list price."""

    status: int
    content: str
    usage: str


@dataclass
class Street:
    """A server, and what its plain requests are told when nobody else asks."""

    url: str
    serving: Service
    routes: Routes
    alone: dict[str, Answer]


def ask(url: str, name: str) -> Answer:
    path, body = PLAIN[name]
    told = httpx.post(url + path, json={"model": "small", "max_tokens": 24, **body}, timeout=WAIT)
    found = told.json()
    usage = dict(found.get("usage") or {})
    cost = usage.pop("cost", None) or {}
    cost = {part: value for part, value in cost.items() if not part.startswith("machine")}
    choices = found.get("choices", found.get("content", found))
    return Answer(told.status_code, json.dumps(choices), json.dumps([usage, cost]))


@pytest.fixture(scope="module", params=["plain", "drafts"])
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    drafts = request.param == "drafts"
    options = {"deterministic": True, "prefix_cache": False, "max_running": 6, "step_tokens": 64}
    with running(tmp_path_factory.mktemp("street"), positions=512, mtp=int(drafts), **options) as (url, serving):
        alone = {name: ask(url, name) for name in PLAIN}
        assert {answer.status for answer in alone.values()} == {200}
        assert alone == {name: ask(url, name) for name in PLAIN}, "the same twice, alone"
        yield Street(url, serving, Routes(httpx.get(f"{url}/openapi.json").json()), alone)
        assert not serving.engine.stats().failed
        assert serving.engine.stats().blocks_used == 0
        assert not serving.accounts._store.read("SELECT * FROM reservations"), "something is still held"


def send(url: str, odd: Odd, told: list[tuple[Odd, int, bytes]]) -> None:
    """Sends an odd request over a connection of its own, reads what comes, or leaves before."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=odd.leaves or WAIT) as plain:
        head = (
            f"POST {odd.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(odd.body)}\r\n"
        )
        kind = f"Content-Type: {odd.kind}\r\n" if odd.kind else ""
        plain.sendall(f"{head}{kind}\r\n".encode() + odd.body)
        if odd.leaves == 0.0:
            return
        answer = b""
        with suppress(TimeoutError):
            while piece := plain.recv(65536):
                answer += piece
            assert answer, f"no answer to {odd}"
            told.append((odd, int(answer.split(None, 2)[1]), answer))


def round_of(street: Street, odds: list[Odd], names: list[str]) -> None:
    """The odd ones first, so that they are there when the plain ones come; then all have ended."""
    told: list[tuple[Odd, int, bytes]] = []
    failures: list[BaseException] = []

    def guarded(odd: Odd) -> None:
        try:
            send(street.url, odd, told)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(odd,)) for odd in odds]
    for thread in threads:
        thread.start()
    found: dict[str, Answer] = {}
    plain = [threading.Thread(target=lambda name=name: found.update({name: ask(street.url, name)})) for name in names]
    for thread in plain:
        thread.start()
    for thread in plain + threads:
        thread.join(2 * WAIT)
        assert not thread.is_alive(), "an answer never came"
    assert not failures, failures
    for name in names:
        assert found[name] == street.alone[name], f"{name} beside {odds}"
    for odd, status, answer in told:
        assert status < 500, (odd, answer[-500:])
        assert b"server_error" not in answer, (odd, answer[-500:])
        assert b"api_error" not in answer, (odd, answer[-500:])


def rounds(street: Street, count: int, chosen: bool) -> None:
    @settings(
        max_examples=count, deadline=None, derandomize=chosen, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def play(data: st.DataObject) -> None:
        odds = data.draw(st.lists(street.routes.odd(), min_size=2, max_size=5))
        names = data.draw(st.lists(st.sampled_from(sorted(PLAIN)), min_size=1, max_size=2, unique=True))
        round_of(street, odds, names)

    play()


@pytest.mark.slow
def test_a_dozen_rounds(street: Street) -> None:
    """Half with drafts, half without; the same in every run."""
    rounds(street, 6, True)


@pytest.mark.long
def test_a_thousand_rounds(street: Street) -> None:
    """Five hundred of each, other ones in every run."""
    rounds(street, 500, False)


def test_the_harness_can_fail(street: Street) -> None:
    """An answer that is another one, and a status of the server's own fault, are seen."""
    with pytest.raises(AssertionError, match="beside"):
        round_of(Street(street.url, street.serving, street.routes, {"greedy": street.alone["drawn"]}), [], ["greedy"])
    hidden = street.serving.engine.executor.runner.hidden  # type: ignore[attr-defined]
    street.serving.engine.executor.runner.hidden = lambda *_: 1 / 0  # type: ignore[attr-defined]
    try:
        with pytest.raises(AssertionError):
            round_of(street, [Odd("/v1/completions", b'{"model": "small", "prompt": "a"}', None)], [])
    finally:
        street.serving.engine.executor.runner.hidden = hidden  # type: ignore[attr-defined]
    round_of(street, [], sorted(PLAIN))
