"""The gateway in front of our own server: both ledgers tell of the same tokens, clients get the same answers."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from anthropic import Anthropic
from tests.serve.api.running import running
from tests.serve.gateway.put import settled
from tests.serve.gateway.running import gateway_over

from centime.ledger.served import Served, served_rows
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.gateway.gateway import Gateway

CHAT = {"model": "small", "messages": [{"role": "user", "content": "the cat sat on the mat"}], "temperature": 0}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path, Path, Gateway]]:
    """(our server's URL, the gateway's, the two ledgers, the gateway); the same prices."""
    inner, outer = tmp_path_factory.mktemp("inner"), tmp_path_factory.mktemp("outer")
    secret = add_key(Store(inner / "ledger.sqlite"), "gateway", budget="$1")
    with (
        running(inner) as (url, _),
        gateway_over(url, outer, prices="0.1,1,2", key=secret) as (own, gateway),
    ):
        yield url, own, inner / "ledger.sqlite", outer / "ledger.sqlite", gateway


def sums(ledger: Path) -> tuple[int, ...]:
    rows = served_rows(sqlite3.connect(ledger))
    names = ("requests", "prompt_tokens", "hit_tokens", "output_tokens", "list_pico")

    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    return tuple(total(name) for name in names)


def machine(ledger: Path) -> int:
    rows: list[Served] = served_rows(sqlite3.connect(ledger))
    return sum(row.machine_ns for row in rows)


def test_it_knows_what_stands_behind_it(both: tuple[str, str, Path, Path, Gateway]) -> None:
    facts = both[4].pool.backends[0].facts
    assert (facts.kind, facts.context, facts.models[0]) == ("centime", 2048, "small")


def test_clients_get_the_same_answers_and_both_ledgers_the_same_tokens(
    both: tuple[str, str, Path, Path, Gateway],
) -> None:
    _, own, inner, outer, gateway = both
    client = openai.OpenAI(base_url=own + "/v1", api_key="none", max_retries=0)
    whole = client.chat.completions.create(**CHAT, max_tokens=24)  # type: ignore[call-overload]
    stream = client.chat.completions.create(**CHAT, max_tokens=24, stream=True)  # type: ignore[call-overload]
    pieces = [piece.choices[0].delta.content or "" for piece in stream]
    assert "".join(pieces) == whole.choices[0].message.content != ""
    anthropic = Anthropic(base_url=own + "/anthropic", api_key="none", max_retries=0)
    said = anthropic.messages.create(
        model="small",
        max_tokens=24,
        messages=CHAT["messages"],
        extra_body={"temperature": 0},  # type: ignore[arg-type]
    )
    assert said.content[0].text == whole.choices[0].message.content  # type: ignore[union-attr]
    completion = client.completions.create(model="small", prompt="the cat", max_tokens=4)
    assert completion.usage is not None
    settled(gateway)
    assert sums(inner) == sums(outer)
    assert sums(outer)[0] == 4
    assert machine(inner) <= machine(outer)  # which waited for the network too


def test_a_client_that_leaves_frees_the_engine(both: tuple[str, str, Path, Path, Gateway]) -> None:
    url, own, _, outer, gateway = both
    before = sums(outer)[0]
    body = {**CHAT, "max_tokens": 2000, "stream": True, "ignore_eos": True}
    with httpx2.stream("POST", own + "/v1/chat/completions", json=body, timeout=30) as response:
        seen = 0
        for line in response.iter_lines():
            seen += '"content":"' in line and '"content":""' not in line
            if seen == 3:
                break
    settled(gateway)
    for _ in range(1000):
        if httpx2.get(url + "/health").json()["running"] == 0:
            break
        time.sleep(0.01)
    else:
        raise AssertionError("the engine still works for nobody")
    requests, *_ = sums(outer)
    assert requests == before + 1
    assert sums(outer)[3] < 2000


def test_side_by_side(both: tuple[str, str, Path, Path, Gateway]) -> None:
    _, own, _, outer, gateway = both
    before, answers = sums(outer), list[int]()

    def ask(number: int) -> None:
        body = {**CHAT, "max_tokens": 4 + number, "ignore_eos": True}
        told = httpx2.post(own + "/v1/chat/completions", json=body, timeout=60).json()
        answers.append(told["usage"]["completion_tokens"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled(gateway)
    after = sums(outer)
    assert sorted(answers) == list(range(4, 12))
    assert (after[0] - before[0], after[3] - before[3]) == (8, sum(answers))


def test_lists_of_prompts_and_their_scores_pass_through(both: tuple[str, str, Path, Path, Gateway]) -> None:
    """What evaluation harnesses send; a prompt that n choices share counts once in both ledgers."""
    _, own, inner, outer, gateway = both
    before = sums(inner), sums(outer)
    asked = {"model": "small", "prompt": [[5, 6, 7], [8, 9]], "n": 2, "temperature": 0, "echo": True, "logprobs": 1}
    for limit in (0, 1):
        answer = httpx2.post(own + "/v1/completions", json={**asked, "max_tokens": limit}, timeout=60)
        assert answer.status_code == 200, answer.text
        choices = answer.json()["choices"]
        assert [len(choice["logprobs"]["token_logprobs"]) for choice in choices] == [n + limit for n in (3, 3, 2, 2)]
        assert answer.json()["usage"]["prompt_tokens"] == 5
    settled(gateway)
    added = [
        [new - old for new, old in zip(sums(one), was, strict=True)]
        for one, was in zip((inner, outer), before, strict=True)
    ]
    assert added[0] == added[1]
    assert added[0][:2] == [2, 10]
