"""What stands around the API: other origins' pages, exceptions, the description, addresses and names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.serve.api.running import running
from tests.serve.web.browser import serving
from tests.small import small_tokenizer

from centime.errors import UserError
from centime.serve.api.service import Service
from centime.serve.http.auth import account_of
from centime.serve.http.middleware import add_middleware
from centime.serve.http.server import bind, url_of
from centime.serve.http.startup import check_origins
from centime.serve.loading import find_model
from centime.serve.pages.api_reference import add_description
from centime.serve.pages.page import page_routes
from centime.serve.protocol.completion_request import begun

ORIGIN = "https://app.example"
ASK: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "the cat"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that lets the pages of one other origin ask."""
    home = tmp_path_factory.mktemp("chosen")
    with running(home, origins=(ORIGIN,)) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
        yield client


def preflight(client: httpx.Client, origin: str) -> httpx.Response:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    return client.options("/v1/chat/completions", headers={"Origin": origin, **wanted})


@pytest.mark.slow
def test_pages_of_an_origin_that_was_named_may_ask_and_read(chosen: httpx.Client) -> None:
    before = preflight(chosen, ORIGIN)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in before.headers["access-control-allow-headers"]
    answers = [
        chosen.post("/v1/chat/completions", json=ASK, headers={"Origin": ORIGIN}),
        chosen.post("/v1/chat/completions", json={**ASK, "stream": True}, headers={"Origin": ORIGIN}),
        chosen.post("/v1/chat/completions", json={}, headers={"Origin": ORIGIN}),
        chosen.post("/v1/messages", json={}, headers={"Origin": ORIGIN}),
        chosen.post("/v1/chat/completions", content=b" " * 2_000_000, headers={"Origin": ORIGIN}),
        chosen.get("/v1/models", headers={"Origin": ORIGIN}),
        chosen.get("/nothing", headers={"Origin": ORIGIN}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 413, 200, 404]
    for answer in answers:
        assert answer.headers.get("access-control-allow-origin") == ORIGIN, answer
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", "https://app.example.evil", "null"])
def test_pages_of_others_may_not(chosen: httpx.Client, url: str, origin: str) -> None:
    for client in (chosen, httpx.Client(base_url=url, timeout=60)):
        before = preflight(client, origin)
        assert before.status_code >= 400
        assert "access-control-allow-origin" not in before.headers
        asked = client.post("/v1/chat/completions", json=ASK, headers={"Origin": origin})
        assert asked.status_code == 403
        assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://app.example/x", "ftp://a", "", "null"]
)
def test_an_origin_is_one_as_browsers_send_it(origin: str) -> None:
    check_origins(["*", ORIGIN, "http://localhost:3000", "http://[::1]:3000"])
    with pytest.raises(UserError, match="--cors-origin"):
        check_origins([ORIGIN, origin])


def test_an_exception_is_answered_and_logged_and_the_connection_lives(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    def fails(said: str) -> None:
        raise RuntimeError(f"of {said}")

    add_middleware(app, [ORIGIN])
    with serving(app) as url, httpx.Client(base_url=url) as client, caplog.at_level(logging.ERROR):
        for path in ("a", "v1/messages"):
            said = {"said": "\n2026-01-01 INFO paid\x1b[31m\u202e\x85x"}
            failed = client.get(path, params=said, headers={"Origin": ORIGIN})
            assert failed.status_code == 500
            assert failed.headers["access-control-allow-origin"] == ORIGIN
            assert "log says why" in failed.json()["error"]["message"]
            assert failed.headers.get("connection") != "close"
            assert failed.extensions["network_stream"] is client.get("a?said=x").extensions["network_stream"]
    for record in caplog.records:
        first, *lines = record.getMessage().split("\n")
        assert first.isprintable()
        assert all(line.startswith("    ") and line.isprintable() for line in lines)


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
def test_the_address_that_is_told_can_be_opened(host: str, shown: str) -> None:
    with bind(host, 0) as listening:
        assert url_of(listening) == f"http://{shown}:{listening.getsockname()[1]}"


def test_each_model_of_a_run_has_its_own_name(tmp_path: Path) -> None:
    run = tmp_path / "quickstart"
    for name in ("model", "base"):
        (run / name).mkdir(parents=True)
        (run / name / "config.json").write_text("{}")
    (run / "recipe.toml").touch()
    assert find_model(run) == (run / "model", run)
    assert find_model(run / "model") == (run / "model", run)
    assert find_model(run / "base") == (run / "base", "quickstart-base")


def test_a_text_begins_with_one_begin_token(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    for text in ("the cat", f"{tokenizer.bos_token}the cat"):
        assert begun(tokenizer, text) == [tokenizer.bos_id, *tokenizer.encode("the cat")]


@pytest.mark.slow
def test_tokens_are_counted_as_a_completion_reads_them(served: tuple[str, Service]) -> None:
    url, running_ = served
    for text in ("the cat", f"{running_.tokenizer.bos_token}the cat"):
        counted = httpx.post(f"{url}/tokenize", json={"prompt": text}).json()["count"]
        body = {"model": "small", "prompt": text, "max_tokens": 1}
        assert httpx.post(f"{url}/v1/completions", json=body).json()["usage"]["prompt_tokens"] == counted
    assert "_created" not in httpx.get(f"{url}/metrics").text


def test_a_description_without_a_server_has_the_page(tmp_path: Path) -> None:
    """Both applications have it: here with no route but the page's own."""
    app = FastAPI(title="t", summary="s", docs_url=None)
    app.include_router(page_routes(account_of))
    add_description(app)
    with serving(app) as url:
        assert "<h2>Objects</h2>" in httpx.get(f"{url}docs").text
