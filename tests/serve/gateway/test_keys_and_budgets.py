"""Keys and budgets at the gateway: nothing is overspent, and the upstream is not asked for what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.serve.gateway.put import ASK, Put, key
from tests.serve.gateway.running import answer


def test_keys_are_asked_for_and_never_passed_on(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 2), key="upstream-key")
    header = key(made)
    assert made.post().status_code == 401
    assert made.client.get("/v1/models").status_code == 401
    assert made.post(**header).status_code == 200
    assert made.upstream.headers[0]["authorization"] == "Bearer upstream-key"
    assert made.client.get("/v1/models", headers=header).json()["data"][0]["id"] == "org/m"
    assert [row.key for row in made.served()] == ["alice"]


def test_a_budget_is_never_overspent_and_the_upstream_not_even_asked(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 10))
    header = key(made, budget="$0.01")
    refused = made.post(ASK | {"max_tokens": 100_000}, **header)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_balance")
    assert made.upstream.bodies == []
    assert made.post(ASK | {"max_tokens": 10}, **header).status_code == 200
    balance = made.client.get("/user/balance", headers=header).json()
    assert balance["balance_infos"][0]["total_balance"] == "0.00977"


def test_many_at_once_cannot_overspend(put: Callable[..., Put]) -> None:
    made = put(lambda _: answer("Hello", 100, 100))
    header = key(made, budget="$0.01")  # each costs 500 micro-dollars: 20 of them
    statuses = []

    def ask() -> None:
        for _ in range(5):
            statuses.append(made.post(ASK | {"max_tokens": 100}, **header).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    requests, *_, spent = made.sums()
    assert statuses.count(200) == requests <= 20
    assert spent == requests * 500 * 10**6 <= 10**10


def test_near_the_limit_the_upstream_is_asked_to_count(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 20, 1))
    header = key(made, budget="$0.0001")  # 50 prompt tokens
    body = ASK | {"max_tokens": 1}
    assert made.post(body, **header).status_code == 402
    made.upstream.count = 20
    assert made.post(body, **header).status_code == 200


def test_without_a_limit_the_room_of_the_upstream_is_held(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 20, 1), context=1000)
    assert made.post(**key(made, budget="$0.0030")).status_code == 402
    assert made.post(**key(made, name="bob", budget="$0.0050")).status_code == 200
    assert "max_tokens" not in made.upstream.bodies[0]


def test_where_nobody_names_a_limit_one_is_set(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 20, 1), context=None)
    assert made.post().status_code == 200
    assert made.upstream.bodies[0]["max_tokens"] == 4096
