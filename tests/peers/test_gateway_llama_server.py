"""The gateway in front of a real llama-server, over a model of ours that it reads as GGUF.

llama_server.py says where the program comes from; without it these tests are skipped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from tests.peers.llama_server import llama_server
from tests.serve.gateway.running import gateway_over

from centime.ledger.served import served_rows
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.gateway.gateway import Gateway

pytest.importorskip("gguf")
pytestmark = pytest.mark.slow

CHAT = {"model": "m", "messages": [{"role": "user", "content": "the cat sat on the mat"}], "temperature": 0}
CONTEXT = 512


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a llama-server with one slot of 512 tokens."""
    with llama_server(tmp_path_factory.mktemp("llama") / "m.gguf", CONTEXT, "--alias", "m") as url:
        yield url


@pytest.fixture
def gateway(llama: str, tmp_path: Path) -> Iterator[tuple[str, Gateway]]:
    with gateway_over(llama, tmp_path) as found:
        yield found


def sums(gateway: Gateway, home: Path) -> tuple[int, ...]:
    """(requests, prompt, hit, output tokens) in the ledger, once what runs is settled."""
    for _ in range(2000):
        if not gateway.calls:
            break
        time.sleep(0.005)
    rows = served_rows(sqlite3.connect(home / "ledger.sqlite"))
    names = ("requests", "prompt_tokens", "hit_tokens", "output_tokens")
    return tuple(sum(getattr(row, name) for row in rows) for name in names)


def counters(llama: str) -> tuple[int, int]:
    """(prompt tokens computed, tokens generated) as llama-server itself counts them."""
    page = dict(
        line.split(" ", 1) for line in httpx2.get(f"{llama}/metrics").text.splitlines() if not line.startswith("#")
    )
    return int(float(page["llamacpp:prompt_tokens_total"])), int(float(page["llamacpp:tokens_predicted_total"]))


def test_it_knows_llama_server(gateway: tuple[str, Gateway]) -> None:
    facts = gateway[1].pool.backends[0].facts
    assert (facts.kind, facts.models, facts.context) == ("llamacpp", ("m",), CONTEXT)


def test_answers_and_streams_and_the_books_agree_with_llama_servers_own(
    gateway: tuple[str, Gateway], llama: str, tmp_path: Path
) -> None:
    url, behind = gateway
    before = counters(llama)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    whole = client.chat.completions.create(**CHAT, max_tokens=12)  # type: ignore[call-overload]
    pieces = list(client.chat.completions.create(**CHAT, max_tokens=12, stream=True))  # type: ignore[call-overload]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert all(piece.usage is None for piece in pieces)
    assert whole.usage.cost["list_price"]
    told = list(
        client.chat.completions.create(  # type: ignore[call-overload]
            **CHAT, max_tokens=12, stream=True, stream_options={"include_usage": True}
        )
    )
    assert told[-1].usage.total_tokens == whole.usage.total_tokens
    completion = client.completions.create(model="m", prompt="the dog", max_tokens=5)
    assert completion.usage is not None
    requests, prompt, hit, output = sums(behind, tmp_path)
    after = counters(llama)
    assert requests == 4
    assert prompt == 3 * whole.usage.prompt_tokens + completion.usage.prompt_tokens
    assert output == after[1] - before[1]
    assert prompt - hit == after[0] - before[0]


def test_the_anthropic_client(gateway: tuple[str, Gateway], tmp_path: Path) -> None:
    url, behind = gateway
    client = anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="none", max_retries=0)
    said = client.messages.create(model="m", max_tokens=8, messages=CHAT["messages"])  # type: ignore[arg-type]
    with client.messages.stream(model="m", max_tokens=8, messages=CHAT["messages"]) as stream:  # type: ignore[arg-type]
        final = stream.get_final_message()
    requests, prompt, _, output = sums(behind, tmp_path)
    assert requests == 2
    assert output == said.usage.output_tokens + final.usage.output_tokens
    read = [usage.input_tokens + (usage.cache_read_input_tokens or 0) for usage in (said.usage, final.usage)]
    assert prompt == sum(read)


def test_a_client_that_leaves_frees_the_slot(gateway: tuple[str, Gateway], llama: str, tmp_path: Path) -> None:
    url, behind = gateway
    body = {**CHAT, "max_tokens": CONTEXT, "stream": True, "ignore_eos": True}
    seen = 0
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as response:
        for line in response.iter_lines():
            seen += '"content":"' in line
            if seen == 3:
                break
    requests, prompt, hit, output = sums(behind, tmp_path)
    whole = httpx2.post(f"{url}/v1/chat/completions", json={**CHAT, "max_tokens": 1}, timeout=30).json()["usage"]
    assert requests == 1
    assert prompt == whole["prompt_tokens"]
    assert 0 <= hit < prompt
    assert 3 <= output < CONTEXT
    for _ in range(1000):
        if not any(slot["is_processing"] for slot in httpx2.get(f"{llama}/slots").json()):
            break
        time.sleep(0.01)
    else:
        raise AssertionError("llama-server still works for nobody")


def test_near_the_limit_llama_server_counts_the_prompt(gateway: tuple[str, Gateway], tmp_path: Path) -> None:
    """Bytes say too much; asked for the exact count, the same request fits."""
    url, behind = gateway
    counted = httpx2.post(f"{url}/v1/chat/completions", json={**CHAT, "max_tokens": 1}, timeout=30).json()["usage"]
    picos = counted["prompt_tokens"] * 2 + 3  # micro-dollars at $2 and $3 per million tokens
    store = Store(tmp_path / "ledger.sqlite")
    enough, short = (
        add_key(store, name, budget=f"${micros / 1e6:.6f}") for name, micros in (("alice", picos), ("bob", picos - 1))
    )
    store.close()
    for secret, status in ((short, 402), (enough, 200)):
        header = {"Authorization": f"Bearer {secret}"}
        body = {**CHAT, "max_tokens": 1}
        assert httpx2.post(f"{url}/v1/chat/completions", json=body, headers=header, timeout=30).status_code == status
    assert behind.accounts.balance(behind.accounts.authenticate(enough)).left is not None


def test_what_llama_server_refuses_is_told(gateway: tuple[str, Gateway], tmp_path: Path) -> None:
    url, behind = gateway
    long = {**CHAT, "messages": [{"role": "user", "content": "the cat " * 2000}]}
    for stream in (False, True):
        told = httpx2.post(f"{url}/v1/chat/completions", json={**long, "stream": stream}, timeout=30)
        assert told.status_code == 400
        assert "context" in told.json()["error"]["message"]
    assert sums(behind, tmp_path)[0] == 0
