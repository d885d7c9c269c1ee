"""Keys and budgets at the gateway: nothing is overspent, and the upstream is not asked for what is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from tests.serve.accounts.budgets.made import budget
from tests.serve.gateway.put import ASK, STREAM, Put, key
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
    made.gateway.on_budget = "refuse"
    header = key(made, budget="$0.01")
    refused = made.post(ASK | {"max_tokens": 100_000}, **header)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_balance")
    assert made.upstream.bodies == []
    assert made.post(ASK | {"max_tokens": 10}, **header).status_code == 200
    balance = made.client.get("/user/balance", headers=header).json()
    assert balance["balance_infos"][0]["total_balance"] == "0.00977"


def test_many_at_once_cannot_overspend(put: Callable[..., Put]) -> None:
    made = put(lambda _: answer("Hello", 100, 100))
    made.gateway.on_budget = "refuse"
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
    made.gateway.on_budget = "refuse"
    assert made.post(**key(made, budget="$0.0030")).status_code == 402
    assert made.post(**key(made, name="bob", budget="$0.0050")).status_code == 200
    assert "max_tokens" not in made.upstream.bodies[0]


def test_where_nobody_names_a_limit_one_is_set(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 20, 1), context=None)
    assert made.post().status_code == 200
    assert made.upstream.bodies[0]["max_tokens"] == 4096


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_what_is_left_lowers_the_longest_answer_and_the_answer_says_so(put: Callable[..., Put], path: str) -> None:
    made = put(answer("Hello", 100, 10), context=None)
    made.upstream.count = 100
    header = key(made, budget="$0.0005")  # 100 prompt tokens for 200 micro-dollars, 100 of output for 300
    body = ASK | {"prompt": "Hello"} if path == "/v1/completions" else ASK
    told = made.post(body | {"max_tokens": 10**6}, path, **header)
    assert told.status_code == 200, told.text
    assert told.headers["x-centime-max-tokens"] == "100"
    assert told.json()["usage"]["cost"]["max_tokens_lowered_to"] == 100
    assert made.upstream.bodies[-1]["max_tokens"] == 100
    again = made.post(body | {"max_tokens": 10, "n": 1}, path, **header)  # 270 micro-dollars are left: it fits
    assert "x-centime-max-tokens" not in again.headers
    assert again.json()["usage"]["cost"]["max_tokens_lowered_to"] is None
    gone = made.post(body | {"max_tokens": 10}, path, **header)  # 40 are left, and the prompt alone costs 200
    assert gone.status_code == 402
    assert len(made.upstream.bodies) == 2


def test_a_prompt_that_nobody_counts_is_held_by_its_bytes(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 10), context=None)
    told = made.post(ASK | {"max_tokens": 10**6}, "/v1/messages", **key(made, budget="$0.002"))
    assert told.status_code == 200, told.text
    assert 0 < int(told.headers["x-centime-max-tokens"]) == made.upstream.bodies[-1]["max_tokens"] < 300


def test_several_answers_are_lowered_alike_under_every_name_of_their_length(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 10), context=None)
    made.upstream.count = 100
    told = made.post(ASK | {"max_completion_tokens": 500, "n_predict": 70, "n": 3}, **key(made, budget="$0.0005"))
    assert told.headers["x-centime-max-tokens"] == "33"
    sent = made.upstream.bodies[-1]
    assert (sent["max_completion_tokens"], sent["n_predict"], "max_tokens" in sent) == (33, 33, False)


def test_a_stream_that_was_lowered_says_so(put: Callable[..., Put]) -> None:
    made = put(STREAM, context=None)
    made.upstream.count = 100
    header = key(made, budget="$0.0005")
    told = made.post(ASK | {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 5000}, **header)
    assert told.headers["x-centime-max-tokens"] == "100"
    assert '"max_tokens_lowered_to":100' in told.text


def test_who_waits_is_served_once_the_others_have_ended(put: Callable[..., Put]) -> None:
    pause = threading.Event()

    def slow(body: dict[str, Any]) -> Any:
        if body["max_tokens"] == 100:
            pause.wait(10)
        return answer("Hello", 100, 1)

    made = put(slow, context=None)
    made.upstream.count = 100
    made.gateway.on_budget = "wait"
    header = key(made, budget="$0.0008")
    told: list[httpx2.Response] = []
    first = threading.Thread(target=lambda: told.append(made.post(ASK | {"max_tokens": 100}, **header)))
    second = threading.Thread(target=lambda: told.append(made.post(ASK | {"max_tokens": 101}, **header)))
    first.start()
    while not made.upstream.bodies:
        time.sleep(0.01)
    second.start()
    time.sleep(0.3)
    assert len(made.upstream.bodies) == 1
    pause.set()
    first.join(20)
    second.join(20)
    assert [one.status_code for one in told] == [200, 200]
    assert all("x-centime-max-tokens" not in one.headers for one in told)


def test_tags_count_in_budgets_of_users_and_what_is_none_is_said(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 100, 10), context=None)
    header = key(made, place="acme")
    budget(made.home / "ledger.sqlite", "acme/user:*", "$0.0001", "day")
    assert made.post(ASK, **header).status_code == 200
    for more in ({"user": "bob"}, {"safety_identifier": "bob"}, {"metadata": {"user_id": "bob"}}):
        assert made.post(ASK | more, **header).status_code == 402
    assert made.post(ASK, **header, **{"x-centime-tags": "user=bob"}).status_code == 402
    bad = made.post(ASK, **header, **{"x-centime-tags": "user"})
    assert (bad.status_code, "expected names and values" in bad.text) == (422, True)
