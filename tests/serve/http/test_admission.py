"""Cheap questions first: whoever may not ask, or has nothing left, or sends too much, costs the server no work."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.serve.api.running import running

from centime.catalogue.tariffs import tariff_for
from centime.serve.accounts import Accounts
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.api.service import Service
from centime.serve.http import admission
from centime.serve.http.admission import BODY_BASE, MAX_BODY, Admission, largest_body

CHAT = {"model": "small", "messages": [{"role": "user", "content": "the cat"}], "max_tokens": 4}
WORKS = {  # every path that reads, tokenizes, compiles or computes
    "/v1/chat/completions": CHAT,
    "/chat/completions": CHAT,
    "/v1/completions": {"model": "small", "prompt": "the cat", "max_tokens": 4},
    "/anthropic/v1/messages": CHAT,
    "/anthropic/v1/messages/count_tokens": CHAT,
    "/tokenize": {"prompt": "the cat"},
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service, Callable[..., dict[str, str]]]]:
    """(URL, serving, a function that makes a key and gives the headers to ask with)."""
    home = tmp_path_factory.mktemp("guarded")
    with running(home) as (url, serving):

        def key(name: str, **limits: Any) -> dict[str, str]:
            store = Store(home / "ledger.sqlite")
            secret = add_key(store, name, **limits)
            store.close()
            return {"Authorization": f"Bearer {secret}"}

        yield url, serving, key


Guarded = tuple[str, Service, Callable[..., dict[str, str]]]


@pytest.mark.parametrize("path", WORKS)
def test_every_path_that_works_is_admitted(guarded: Guarded, path: str) -> None:
    url, serving, key = guarded
    name = path.strip("/").replace("/", "-")
    once, slow = key(f"{name}-rate", per_minute=2), key(f"{name}-other")
    assert httpx.post(url + path, json=WORKS[path]).status_code == 401
    codes = [httpx.post(url + path, json=WORKS[path], headers=once, timeout=60).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    assert httpx.post(url + path, json=WORKS[path], headers=slow, timeout=60).status_code == 200
    held = serving.accounts.balance(serving.accounts.authenticate(slow["Authorization"].split()[1])).held
    assert held == 0
    assert not serving.accounts._store.read("SELECT * FROM reservations")


@pytest.mark.parametrize("path", WORKS)
@pytest.mark.parametrize("key_is", ["absent", "wrong", "empty"])
def test_a_body_is_not_read_for_who_may_not_ask(
    guarded: Guarded, path: str, key_is: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is there while the body has hardly begun: nothing waits for it, nothing parses it."""
    monkeypatch.setattr(admission, "READ_AWAY_SECONDS", 0.05)
    url, _, key = guarded
    empty = key(f"{path.strip('/').replace('/', '-')}-{key_is}", budget="$0.000000000001")
    given = {"absent": "", "wrong": "Bearer sk-no", "empty": empty["Authorization"]}[key_is]
    if key_is == "empty":  # what is left is spent
        httpx.post(f"{url}/v1/completions", json=WORKS["/v1/completions"], headers=empty, timeout=60)
        _spend(guarded[1], empty)
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=30) as plain:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n"
        )
        plain.sendall(f"{head}Authorization: {given}\r\n\r\n".encode() + b'{"model"')
        status = int(plain.recv(4096).split()[1])
    assert status == (402 if key_is == "empty" else 401)


def _spend(serving: Service, headers: dict[str, str]) -> None:
    account = serving.accounts.authenticate(headers["Authorization"].split()[1])
    with serving.accounts._store.writing() as connection:
        connection.execute("UPDATE keys SET balance = 0 WHERE name = ?", (account.name,))


def test_a_body_larger_than_any_prompt_is_refused(guarded: Guarded) -> None:
    url, serving, key = guarded
    headers = {**key("large"), "Content-Type": "application/json"}
    most = largest_body(serving.engine.context)
    assert most < MAX_BODY
    pieces = iter([b"[" + b" " * (most // 2)] * 3)
    for content in (b" " * (most + 1), pieces):  # announced or not
        refused = httpx.post(f"{url}/v1/chat/completions", content=content, headers=headers, timeout=60)
        assert refused.status_code == 413, refused.text
        assert f"{most:,} bytes" in refused.json()["error"]["message"]
    assert largest_body(None) == largest_body(10**9) == MAX_BODY
    assert largest_body(0) == BODY_BASE


@pytest.mark.parametrize("path", [*WORKS, "/page/plan"])
def test_pages_of_other_origins_spend_nothing(guarded: Guarded, path: str) -> None:
    """Whether or not the browser asks first: a foreign page's request is refused, with or without a key."""
    url, serving, key = guarded
    before = serving.tally.calls
    headers = key(f"origin-{path.strip('/').replace('/', '-')}")
    for origin in ("https://evil.example", "null", url.replace("http://", "http://evil."), url + "1"):
        told = httpx.post(url + path, json=WORKS.get(path, {}), headers={**headers, "Origin": origin})
        assert told.status_code == 403, (origin, told.text)
    assert serving.tally.calls == before
    own = {**headers, "Origin": url}
    assert httpx.post(url + path, json=WORKS.get(path, {}), headers=own, timeout=60).status_code != 403


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/docs", "/openapi.json", "/v1/models", "/user/balance"])
def test_a_server_without_keys_answers_no_other_host(url: str, path: str) -> None:
    """A name that an attacker lets point here (DNS rebinding) is another origin to a browser, whatever the path."""
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"):
        assert httpx.get(url + path, headers={"Host": host}).status_code == 403
    assert httpx.get(url + path).status_code == 200


def test_health_answers_while_large_prompts_are_read(guarded: Guarded) -> None:
    """Four clients whose prompts are as large as may be, none of which fits the context: others are not held up."""
    url, serving, key = guarded
    headers = key("reader")
    body = json.dumps({"model": "small", "prompt": "the cat sat " * (largest_body(serving.engine.context) // 13)})
    codes: list[int] = []

    def large() -> None:
        given = {**headers, "Content-Type": "application/json"}
        codes.append(httpx.post(f"{url}/v1/completions", content=body, headers=given, timeout=120).status_code)

    threads = [threading.Thread(target=large) for _ in range(4)]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        answered += 1
        time.sleep(0.01)
    assert codes == [400] * 4
    assert answered > 3


def test_a_full_ledger_or_a_refusal_keeps_no_place(tmp_path: Path) -> None:
    """A key with one place: requests that end in any refusal leave it free."""
    with running(tmp_path) as (url, serving):
        store = Store(tmp_path / "ledger.sqlite")
        headers = {"Authorization": f"Bearer {add_key(store, 'one', concurrency=1)}"}
        store.close()
        bad: list[tuple[str, Any, int]] = [
            ("/v1/chat/completions", {**CHAT, "model": "other"}, 404),
            ("/v1/chat/completions", {**CHAT, "temperature": 9}, 422),
            ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": "x" * 9000}]}, 400),
            ("/v1/chat/completions", [], 400),
            ("/v1/completions", {"model": "small", "prompt": [10**6]}, 422),
            ("/tokenize", {}, 400),
            ("/v1/nothing", {}, 404),
        ]
        for path, body, status in bad:
            told = httpx.post(url + path, json=body, headers=headers, timeout=60)
            assert told.status_code == status, (path, told.text)
            good = httpx.post(f"{url}/v1/chat/completions", json=CHAT, headers=headers, timeout=60)
            assert good.status_code == 200, (path, good.text)
        assert not serving.accounts._store.read("SELECT * FROM reservations")


def test_a_body_that_never_comes_keeps_no_place(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _, key = guarded
    headers = key("slow-body", concurrency=1)
    monkeypatch.setattr(admission, "BODY_SECONDS", 0.3)
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=30) as plain:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: {headers['Authorization']}\r\n"
        plain.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 90\r\n\r\n".encode() + b'{"model"')
        assert int(plain.recv(4096).split()[1]) == 408
    monkeypatch.undo()
    told = httpx.post(f"{url}/v1/completions", json=WORKS["/v1/completions"], headers=headers, timeout=60)
    assert told.status_code == 200, told.text


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_place_is_free_with_the_last_piece_of_an_answer_and_not_before(tmp_path: Path, pieces: int) -> None:
    """Of an answer whose ticket no route takes over; at no time does it hold money."""
    path = tmp_path / "ledger.sqlite"
    store = Store(path)
    secret = add_key(store, "one", tariff=tariff_for("1,2,3"), budget="$1", concurrency=1)
    accounts = Accounts(path)
    seen: list[list[int]] = []  # the amounts held for each request that runs, as each message leaves

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for at in range(pieces):
            await send({"type": "http.response.body", "body": b"x", "more_body": at < pieces - 1})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    async def send(_: Message) -> None:
        seen.append([amount for (amount,) in store.read("SELECT pico FROM reservations")])

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {secret}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/tokenize", "headers": headers, "query_string": b""}
    admission_ = Admission(app, accounts=accounts, draining=lambda: False, context=None)
    asyncio.run(admission_({**scope, "scheme": "http", "server": ("localhost", 80)}, receive, send))
    accounts.close()
    store.close()
    assert seen == [[0]] * pieces + [[]]
