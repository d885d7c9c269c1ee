"""Several servers behind one gateway, real ones on localhost: whom a request goes to, and who pays for what."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse
from tests.serve.gateway.put import settled
from tests.serve.gateway.running import DONE, Scripted, answer, chunk, serving, usage_chunk

from centime.ledger.served import served_rows
from centime.serve.accounts import Accounts
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.gateway.app import create_app
from centime.serve.gateway.gateway import Gateway
from centime.serve.gateway.upstreams.pool import FilePool
from centime.serve.http.responses import new_id
from centime.serve.telemetry.exchange import Observer
from centime.serve.telemetry.outermost import Outermost
from centime.serve.telemetry.request_log import RequestLog

ASK = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}


class Front:
    """A gateway over a file, and what a test asks of it."""

    def __init__(self, url: str, gateway: Gateway, file: Path) -> None:
        self.url, self.gateway, self.file = url, gateway, file
        self.client = httpx2.Client(base_url=url, timeout=30)

    def ask(self, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
        return self.client.post("/v1/chat/completions", json=ASK | more, headers=headers)

    def rows(self) -> list[Any]:
        settled(self.gateway)
        return served_rows(sqlite3.connect(self.file.parent / "ledger.sqlite"))


@contextmanager
def front(file: Path, text: str, observers: Sequence[Observer] = ()) -> Iterator[Front]:
    file.write_text(text)
    accounts = Accounts(file.parent / "ledger.sqlite", run="gateway", priced_later=True)
    pool = FilePool(file, accounts, lambda *_: nullcontext())
    gateway = Gateway(pool=pool, accounts=accounts, observers=observers)
    app = Outermost(create_app(gateway), lambda: new_id("req_"), lambda: observers)
    try:
        with serving(app) as url:
            until(lambda: all(one.facts.models or not one.health.up for one in pool.backends))
            made = Front(url, gateway, file)
            yield made
            made.client.close()
    finally:
        accounts.close()


def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came about")


class Two:
    """Two servers; what each answers can be changed."""

    def __init__(self, stack: ExitStack) -> None:
        self.one, self.two = (Scripted(lambda _, name=name: answer(name, 100, 2)) for name in ("one", "two"))
        self.urls = [stack.enter_context(serving(each.app)) for each in (self.one, self.two)]

    def file(self, first: str = "", second: str = "", settings: str = "", model: str = "") -> str:
        return f"""
        [gateway]
        {settings}
        [[upstream]]
        name = "first"
        url = "{self.urls[0]}"
        [[upstream]]
        name = "second"
        url = "{self.urls[1]}"
        price_list = "10,20,30"
        [[model]]
        name = "chat"
        aliases = ["gpt-4o-mini"]
        {model}
        [[model.route]]
        upstream = "first"
        model = "org/m"
        {first}
        [[model.route]]
        upstream = "second"
        model = "org/m"
        {second}
        """


@pytest.fixture
def two() -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(stack)


BUSY = JSONResponse({"error": {"message": "later"}}, 500)
PRICED = 'price_list = "1,2,3"'


def test_names_aliases_and_prefixes_find_their_model(two: Two, tmp_path: Path) -> None:
    settings = 'prefixes = ["openai"]'
    with front(tmp_path / "gateway.toml", two.file("weight = 3", "fallback = true", settings, PRICED)) as made:
        for name in ("chat", "gpt-4o-mini", "openai/gpt-4o-mini", "org/m", "first/org/m"):
            assert made.ask(model=name).status_code == 200, name
        assert [body["model"] for body in two.one.bodies + two.two.bodies] == ["org/m"] * 5
        unknown = made.ask(model="chatt").json()["error"]
        assert unknown["message"] == "The model 'chatt' does not exist here. Did you mean 'chat'?"
        assert made.client.post("/v1/chat/completions", json={"messages": ASK["messages"]}).status_code == 400
        listed = {one["id"]: one for one in made.client.get("/v1/models").json()["data"]}
        assert set(listed) == {"chat", "gpt-4o-mini", "org/m"}
        assert listed["gpt-4o-mini"]["alias_of"] == "chat"
        assert listed["chat"]["max_model_len"] == 1000
        assert made.client.get("/v1/models/gpt-4o-mini").json()["owned_by"] == "centime"


def test_weights_are_shares_and_fallbacks_wait(two: Two, tmp_path: Path) -> None:
    with front(tmp_path / "gateway.toml", two.file("weight = 3", "weight = 1", "", PRICED)) as made:
        found = Counter(made.ask().json()["choices"][0]["message"]["content"] for _ in range(80))
        assert 41 < found["one"] < 79  # 60 of 80; five standard deviations are 19
    with front(tmp_path / "gateway.toml", two.file("", "fallback = true", "", PRICED)) as made:
        found = Counter(made.ask().json()["choices"][0]["message"]["content"] for _ in range(20))
        assert found == {"one": 20}


def test_a_conversation_keeps_its_server(two: Two, tmp_path: Path) -> None:
    with front(tmp_path / "gateway.toml", two.file("", "", 'balance = "sticky"', PRICED)) as made:
        whose = set()
        for number in range(12):
            turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {number}"}]
            first = made.ask(messages=turns).json()["choices"][0]["message"]["content"]
            again = made.ask(messages=[*turns, {"role": "assistant", "content": "A"}]).json()
            assert again["choices"][0]["message"]["content"] == first
            whose.add(first)
        assert whose == {"one", "two"}


def test_who_fails_costs_nothing_and_who_answers_is_charged_once(two: Two, tmp_path: Path) -> None:
    two.one.answer = lambda _: BUSY
    with front(tmp_path / "gateway.toml", two.file("", "fallback = true")) as made:
        body = made.ask().json()
        assert body["choices"][0]["message"]["content"] == "two"
        assert body["usage"]["cost"]["price_list"] == "10,20,30"  # the prices of whoever answered
        (row,) = made.rows()
        assert (row.run, row.requests, row.list_pico) == ("second", 1, (100 * 20 + 2 * 30) * 10**6)
        assert 'centime_upstream_failures_total{upstream="first"} 1.0' in made.client.get("/metrics").text
        two.two.answer = lambda _: BUSY
        refused = made.ask()
        assert (refused.status_code, refused.json()["error"]["message"]) == (500, "later")
        assert sum(row.requests for row in made.rows()) == 1
        assert made.gateway.pool.running == 0


def test_the_log_tells_who_answered_and_how_often_it_was_sent(two: Two, tmp_path: Path) -> None:
    log, path = RequestLog(str(tmp_path / "log")), tmp_path / "log"
    text = two.file("", "fallback = true", "attempts = 3", PRICED)
    with front(tmp_path / "gateway.toml", text, observers=[log]) as made:
        made.ask()
        two.one.answer = lambda _: BUSY
        made.ask()
        two.two.answer = lambda _: BUSY
        made.ask()
        made.rows()
        until(lambda: path.read_text().count("\n") > 3)
    log.close()
    _, *told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["status"], one["upstream"], one.get("attempts", 1)) for one in told] == [
        (200, "first", 1),
        (200, "second", 2),
        (500, "first", 3),
    ]
    sent = [len(server.bodies) for server in (two.one, two.two)]
    assert sum(sent) == sum(one.get("attempts", 1) for one in told)


def test_what_is_wrong_with_the_request_is_not_asked_twice(two: Two, tmp_path: Path) -> None:
    two.one.answer = lambda _: JSONResponse({"error": {"message": "no such tool"}}, 400)
    with front(tmp_path / "gateway.toml", two.file("", "fallback = true", "", PRICED)) as made:
        assert made.ask().status_code == 400
        assert two.two.bodies == []
        assert all(one.health.ready for one in made.gateway.pool.backends)


def test_a_server_that_is_gone_is_left_alone_and_comes_back(two: Two, tmp_path: Path) -> None:
    text = two.file("", "fallback = true", "check_s = 0.1", PRICED)
    with ExitStack() as short:
        gone = Scripted(lambda _: answer("late", 100, 2))
        url = short.enter_context(serving(gone.app))
        with front(tmp_path / "gateway.toml", text.replace(two.urls[0], url)) as made:
            first = made.gateway.pool.backends[0]
            assert made.ask().json()["choices"][0]["message"]["content"] == "late"
            short.close()
            assert made.ask().json()["choices"][0]["message"]["content"] == "two"
            until(lambda: not first.health.up)
            assert 'centime_upstream_ready{upstream="first"} 0.0' in made.client.get("/metrics").text
            assert made.client.get("/health").status_code == 200


def test_a_stream_changes_its_server_before_the_first_token_and_never_after(two: Two, tmp_path: Path) -> None:
    role = {**chunk(), "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    whole = [chunk("Hel"), chunk("lo", "stop"), usage_chunk(100, 2), DONE]
    two.two.answer = lambda _: [role, *whole]
    with front(tmp_path / "gateway.toml", two.file("", "fallback = true", "", PRICED)) as made:
        for broken in ([role, RuntimeError("on purpose")], [role, {"error": {"message": "out of memory"}}], []):
            two.one.answer = lambda _, broken=broken: broken
            made.gateway.pool.backends[0].health.answered()
            text = made.ask(stream=True).text
            assert text.count('"role": "assistant"') == 1
            assert '"Hel"' in text
            assert "error" not in text
        assert sum(row.requests for row in made.rows()) == 3
        made.gateway.pool.backends[0].health.answered()
        two.one.answer = lambda _: [role, chunk("begun"), 0.05, RuntimeError("on purpose")]
        text = made.ask(stream=True).text
        assert "begun" in text
        assert '"Hel"' not in text
        assert "error" in text
        assert {row.run: row.requests for row in made.rows()} == {"second": 3, "first": 1}


def test_a_server_that_is_too_slow_to_begin_is_given_up(two: Two, tmp_path: Path) -> None:
    two.one.answer = lambda _: [0.05, chunk(), 20, chunk("late")]
    two.two.answer = lambda _: [0.05, chunk("quick", "stop"), 0.3, usage_chunk(100, 2), DONE]
    text = two.file("", "fallback = true", "", PRICED).replace('name = "first"', 'name = "first"\nfirst_token_s = 0.2')
    with front(
        tmp_path / "gateway.toml", text.replace('name = "second"', 'name = "second"\nfirst_token_s = 0.2')
    ) as made:
        assert "quick" in made.ask(stream=True).text
        until(two.one.left.is_set)
        assert [row.run for row in made.rows()] == ["second"]


def test_a_budget_pays_what_it_can_and_no_unpriced_model(two: Two, tmp_path: Path) -> None:
    with front(tmp_path / "gateway.toml", two.file("", "fallback = true")) as made:  # the first server has no prices
        store = Store(tmp_path / "ledger.sqlite")
        header = {"Authorization": f"Bearer {add_key(store, 'alice', budget='$1')}"}
        refused = made.ask(header)
        assert refused.status_code == 402
        assert "has no price list" in refused.json()["error"]["message"]
        assert made.ask(header, model="second/org/m").status_code == 200
        assert [(row.key, row.list_pico) for row in made.rows()] == [("alice", 2060 * 10**6)]


def test_the_file_is_read_again_without_a_request_lost(two: Two, tmp_path: Path) -> None:
    text = two.file("", "fallback = true", "check_s = 0.05", PRICED)
    two.one.answer = lambda _: [chunk("a"), 0.6, chunk("b", "stop"), usage_chunk(100, 2), DONE]
    with front(tmp_path / "gateway.toml", text) as made:
        with made.client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as response:
            lines = response.iter_lines()
            assert '"a"' in next(lines)
            old = made.gateway.pool.routes
            made.file.write_text("nonsense = 1")
            time.sleep(0.15)
            assert made.gateway.pool.routes is old
            made.file.write_text(text.replace(two.urls[0], two.urls[1]).replace("gpt-4o-mini", "other"))
            until(lambda: made.gateway.pool.routes is not old)
            assert made.ask(model="other").json()["choices"][0]["message"]["content"] == "two"
            assert any('"b"' in line for line in lines)
        until(lambda: not made.gateway.pool._leaving)
        assert sum(row.requests for row in made.rows()) == 2
        assert json.loads(made.client.get("/health").text)["running"] == 0
