"""One id for a request, from the client's header to the upstream's log, the ledger, the answer and its errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse
from tests.serve.gateway.put import ASK, STREAM, Put, key, settled
from tests.serve.gateway.running import answer
from tests.serve.telemetry.test_request_log import lines

from centime.ledger.requests import served_requests
from centime.serve.telemetry.request_log import RequestLog


def kept(made: Put) -> list[str]:
    settled(made.gateway)
    return [row.request_id for row in served_requests(sqlite3.connect(made.home / "ledger.sqlite"))]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
def test_a_clients_own_id_goes_all_the_way(put: Callable[..., Put], tmp_path: Path, path: str) -> None:
    log = RequestLog(str(tmp_path / "log.jsonl"))
    made = put(answer("Hello", 100, 2), observers=[log])
    body: dict[str, Any] = ASK | {"input": "Hello", "max_tokens": 5}
    if path == "/v1/responses":
        body = {"model": "org/m", "input": "Hello"}
    told = made.post(body, path, **{"X-Request-Id": "trace-1:a.b_c"})
    assert told.status_code == 200, told.text
    assert (told.headers["x-request-id"], told.headers["request-id"]) == ("trace-1:a.b_c",) * 2
    assert [one["x-request-id"] for one in made.upstream.headers] == ["trace-1:a.b_c"]
    assert kept(made) == ["trace-1:a.b_c"]
    assert [one["request_id"] for one in lines(tmp_path / "log.jsonl", log, 1)] == ["trace-1:a.b_c"]


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "a b", "-a", "naïve", "a\tb"])
def test_any_other_is_replaced_by_one_that_is_nobody_elses(put: Callable[..., Put], sent: str | None) -> None:
    made = put(lambda body: STREAM if body.get("stream") else answer("Hello", 100, 2))
    headers = {} if sent is None else {"X-Request-Id": sent.encode("latin-1")}
    told = [made.post(ASK | {"stream": stream}, **headers) for stream in (False, True)]
    numbers = [one.headers["x-request-id"] for one in told]
    assert len(set(numbers)) == 2
    assert all(number.startswith("req_") and number != sent for number in numbers)
    assert [one["x-request-id"] for one in made.upstream.headers] == numbers
    assert kept(made) == numbers


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/nothing", "/admin/keys"])
def test_an_error_tells_it_in_its_body(put: Callable[..., Put], path: str) -> None:
    made = put(JSONResponse({"error": {"message": "too long"}}, 400))
    told = made.post(ASK | {"max_tokens": 5}, path, **{"X-Request-Id": "mine"})
    assert told.status_code >= 400
    assert told.json()["request_id"] == told.headers["x-request-id"] == "mine"
    refused = made.post({}, "/v1/chat/completions", Authorization=f"{key(made)['Authorization']}x")
    assert refused.status_code == 401
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
