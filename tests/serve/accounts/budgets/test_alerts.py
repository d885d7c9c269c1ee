"""Who is told that a share of a budget is spent: once, by whichever process, until somebody answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.serve.accounts.budgets.made import account, budget, counts, key
from tests.serve.accounts.made import Use, flat

from centime.serve.accounts import Accounts
from centime.serve.accounts.budgets.edit import CapTerms, change_budget
from centime.serve.accounts.keys import amount
from centime.serve.accounts.store import Store


class Hook:
    """A webhook that keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.status = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def spend(accounts: Accounts, secret: str, times: int) -> None:
    """$0.0001 so many times."""
    for _ in range(times):
        accounts.admit(account(accounts, secret)).settle(Use(prompt_tokens=50, output_tokens=0))


def test_each_share_is_told_once_whoever_looks(path: Path, hook: Hook) -> None:
    budget(path, "acme", "$0.001", webhook=hook.url)
    secret = key(path, "ann", "acme")
    one, two = Accounts(path, tariff=flat()), Accounts(path, tariff=flat())
    spend(one, secret, 4)
    one.tell_alerts()
    assert hook.told == []
    spend(two, secret, 5)  # past 50 and 80 per cent at different charges
    together = [threading.Thread(target=accounts.tell_alerts) for accounts in (one, two, one, two)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    spend(one, secret, 1)
    one.tell_alerts()
    two.tell_alerts()
    assert sorted(body["share"] for body in hook.told) == [50, 80, 100]
    assert hook.told[-1] == {
        "id": 3, "budget": "acme", "who": None, "per": "month", "window_began": hook.told[0]["window_began"],
        "share": 100, "spent": "0.001", "limit": "0.001", "currency": "USD", "hard": True, "at": hook.told[-1]["at"],
    }  # fmt: skip
    assert counts(path)["acme", "month", ""].passed == (50, 80, 100)


def test_who_does_not_answer_is_told_again_later(path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(path, "acme", "$0.001", shares="10", webhook=hook.url)
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=flat())
    hook.status = 500
    spend(accounts, secret, 1)
    accounts.tell_alerts()
    accounts.tell_alerts()  # not at once
    assert len(hook.told) == 1
    assert counts(path)["acme", "month", ""].unsent == 1
    hook.status = 200
    now = __import__("time").time_ns()
    monkeypatch.setattr("centime.serve.accounts.budgets.alerts.time.time_ns", lambda: now + 3 * 10**9)
    accounts.tell_alerts()
    accounts.tell_alerts()
    assert [body["id"] for body in hook.told] == [1, 1]  # the same, by its id
    assert counts(path)["acme", "month", ""].unsent == 0


def test_one_that_nobody_listens_to_holds_up_nothing(path: Path) -> None:
    budget(path, "acme", "$0.001", shares="10", webhook="http://127.0.0.1:9/nobody")
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=flat())
    spend(accounts, secret, 2)
    accounts.tell_alerts()
    assert counts(path)["acme", "month", ""].unsent == 1


def test_a_raised_budget_tells_its_shares_again(path: Path, hook: Hook) -> None:
    budget(path, "acme", "$0.001", shares="50", webhook=hook.url)
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=flat())
    spend(accounts, secret, 6)
    accounts.tell_alerts()
    with Store(path).writing() as connection:
        change_budget(connection, "acme", None, CapTerms(amount("$0.002")))
    spend(accounts, secret, 4)
    accounts.tell_alerts()
    assert [(body["share"], body["limit"]) for body in hook.told] == [(50, "0.001"), (50, "0.002")]
