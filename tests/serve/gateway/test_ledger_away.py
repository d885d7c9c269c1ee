"""A gateway whose ledger is away for a while, and what it tells of budgets: both seen from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.ledger.shared.conftest import Database, server, shared
from tests.serve.accounts.budgets.test_alerts import Hook, hook
from tests.serve.gateway.put import ASK, Put
from tests.serve.gateway.running import answer

__all__ = ["hook", "server", "shared"]
ADMIN = {"Authorization": "Bearer the-admin"}


def asked(made: Put, method: str, path: str, body: Any = None) -> Any:
    told = made.client.request(method, f"/admin{path}", json=body, headers=ADMIN)
    assert told.is_success, told.text
    return told.json()


def test_a_gateway_tells_of_budgets_too(put: Callable[..., Put], hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTIME_ADMIN_KEY", "the-admin")
    made = put(answer("Hello", 100, 2))
    secret = asked(made, "POST", "/keys", {"name": "alice", "place": "acme"})["secret"]
    terms = {"amount": "$0.001", "hard": False, "alerts": "10", "webhook": hook.url}
    asked(made, "POST", "/budgets", {"target": "acme", **terms})
    assert made.post(ASK | {"max_tokens": 10}, Authorization=f"Bearer {secret}").status_code == 200
    for _ in range(2000):
        if hook.told:
            break
        time.sleep(0.005)
    assert [one["share"] for one in hook.told] == [10]


@pytest.mark.slow
def test_while_the_database_is_away_it_says_so_and_goes_on_after(
    put: Callable[..., Put], shared: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CENTIME_ADMIN_KEY", "the-admin")
    made = put(answer("Hello", 100, 2), shared=True)
    alice = {"Authorization": f"Bearer {asked(made, 'POST', '/keys', {'name': 'alice'})['secret']}"}
    assert made.post(ASK | {"max_tokens": 10}, **alice).status_code == 200
    shared.stop()
    try:
        for _ in range(2):
            told = [made.post(ASK, **alice), made.post(ASK | {"max_tokens": 5}, "/v1/messages", **alice)]
            told += [made.client.get(path, headers=alice) for path in ("/v1/models", "/user/balance", "/page/spending")]
            told.append(made.client.get("/admin/keys", headers=ADMIN))
            assert [one.status_code for one in told] == [503] * len(told)
            assert all(one.headers["retry-after"] for one in told)
            assert all("ledger" in one.json()["error"]["message"] for one in told)
    finally:
        shared.start()
    assert "Traceback" not in caplog.text
    assert made.post(ASK | {"max_tokens": 10}, **alice).status_code == 200
