"""The log of a gateway's requests: a line each, with what it cost, under the id that the client was told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.gateway.put import ASK, STREAM, Put, key
from tests.serve.gateway.running import answer, chunk

from centime.errors import UserError
from centime.serve.telemetry.exchange import Exchange
from centime.serve.telemetry.request_log import RequestLog

SECRET_WORDS = ("Hello", "Tell nobody", "sk-")


def lines(path: Path, log: RequestLog, many: int) -> list[dict[str, Any]]:
    """What was told of so many requests: a client may have its answer a moment before that."""
    for _ in range(1000):
        if path.read_text().count("\n") > many:
            break
        time.sleep(0.005)
    log.close()
    first, *others = [json.loads(line) for line in path.read_text().splitlines()]
    assert first["request_id"] is None
    return others


def test_a_line_for_each_request_and_no_text_of_it(put: Callable[..., Put], tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "log"))
    made = put(lambda body: STREAM if body.get("stream") else answer("Tell nobody", 100, 2, 60), observers=[log])
    alice = key(made, budget="$0.01", place="acme/research")
    tags = {"x-centime-tags": "feature=search,user=bob,colour=red"}
    told = made.post(ASK | {"max_tokens": 10}, **alice, **tags, **{"x-request-id": "my-own:1"})
    assert told.headers["x-request-id"] == told.headers["request-id"] == "my-own:1"
    stream = made.post(ASK | {"stream": True, "max_tokens": 5}, **alice, **{"x-request-id": "no good"})
    assert stream.headers["x-request-id"].startswith("req_")
    assert made.post(ASK).status_code == 401
    assert made.post(ASK | {"max_tokens": 10**9}, "/v1/messages", **alice).status_code == 200
    for path in ("/health", "/nothing"):
        made.client.get(path)
    made.served()
    one, two, refused, three, nothing = lines(tmp_path / "log", log, 5)
    assert one.pop("seconds") > 0
    assert one.pop("ttft_s", None) is None or one["stream"]
    assert one.pop("machine_seconds") > 0
    assert float(one.pop("machine_cost")) > 0
    assert one.pop("at").endswith("Z")
    assert one == {
        "request_id": "my-own:1", "method": "POST", "path": "/v1/chat/completions", "status": 200, "key": "alice",
        "place": "acme/research", "user": "bob", "feature": "search", "tags": "colour=red", "model": "org/m",
        "upstream": "m", "stream": False, "ended": ["end"], "prompt_tokens": 100, "cached_tokens": 60,
        "answer_tokens": 2, "price": "0.000146", "currency": "USD", "price_list": "1,2,3", "machine_currency": "USD",
    }  # fmt: skip
    assert (two["request_id"], two["stream"], two["ended"]) == (stream.headers["x-request-id"], True, ["end"])
    assert two["ttft_s"] > 0
    assert (refused["status"], refused["error"], refused.get("key")) == (401, "invalid_api_key", None)
    assert three["max_tokens_lowered_to"] > 0
    assert (nothing["status"], nothing["path"]) == (404, "/nothing")
    written = (tmp_path / "log").read_text()
    assert not [word for word in SECRET_WORDS if word in written]


def test_a_client_that_leaves_is_told_of_with_its_charge(put: Callable[..., Put], tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "log"))
    made = put([chunk("Hel"), chunk("lo"), 20.0, chunk(finish="stop")], observers=[log])
    with made.client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True, "max_tokens": 9}) as stream:
        next(stream.iter_lines())
    made.served()
    (left,) = lines(tmp_path / "log", log, 1)
    assert (left["status"], left["ended"]) == (200, ["aborted"])
    assert left["answer_tokens"] > 0
    assert float(left["price"]) > 0


def test_bodies_where_they_are_asked_for_and_a_log_that_is_moved_away(put: Callable[..., Put], tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "log"), bodies=True)
    made = put(answer("Tell nobody", 100, 2), observers=[log])
    made.post()
    for _ in range(1000):
        if "Tell nobody" in (tmp_path / "log").read_text():
            break
        time.sleep(0.005)
    (tmp_path / "log").rename(tmp_path / "log.1")
    made.post()
    made.post(ASK | {"max_tokens": "many"})
    for path, many in ((tmp_path / "log.1", 2), (tmp_path / "log", 2)):
        for _ in range(1000):
            if path.exists() and path.read_text().count("\n") >= many:
                break
            time.sleep(0.005)
    log.close()
    line = json.loads((tmp_path / "log.1").read_text().splitlines()[1])
    assert "Hello" in line["request"]
    assert "Tell nobody" in json.loads(line["answer"])["choices"][0]["message"]["content"]
    again, refused = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert again["request_id"] != line["request_id"]
    assert "many" in refused["request"]
    assert "max_tokens" in refused["error_message"]


def test_another_file_is_not_appended_to(tmp_path: Path) -> None:
    for text in ("a letter\n", '{"at": 1}\n', "[]\n"):
        (tmp_path / "letter").write_text(text)
        with pytest.raises(UserError, match=r"is no.* --log|not a log of requests"):
            RequestLog(str(tmp_path / "letter"))
        assert (tmp_path / "letter").read_text() == text
    for name in ("log", "log"):  # its own is
        RequestLog(str(tmp_path / name)).close()
    assert len((tmp_path / "log").read_text().splitlines()) == 2


class Broken:
    """Tells nobody anything."""

    bodies = True

    def over(self, exchange: Exchange) -> None:
        raise RuntimeError("no more paper")

    def close(self) -> None:
        """Nothing to end."""


def test_what_fails_to_be_told_is_answered_and_charged_all_the_same(put: Callable[..., Put], tmp_path: Path) -> None:
    log = RequestLog(str(tmp_path / "log"))
    made = put(lambda body: STREAM if body.get("stream") else answer("Hello", 100, 2), observers=[Broken(), log])
    assert made.post().json()["choices"]
    assert made.events()[-1] == "[DONE]"
    assert made.sums()[0] == 2
    assert len(lines(tmp_path / "log", log, 2)) == 2
