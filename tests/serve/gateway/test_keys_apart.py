"""Behind the gateway, too, no key finds in the cache what another one asked; and no web page can spend."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serve.api.running import running
from tests.serve.gateway.put import ASK, Put, key
from tests.serve.gateway.running import answer, gateway_over

from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store
from centime.serve.gateway.upstreams.cache_salt import installation_secret, salted

PROMPT = "the cat sat on the mat and the dog ate the hat " * 20


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(URL of a gateway in front of our own server, its ledger)."""
    inner, outer = tmp_path_factory.mktemp("inner"), tmp_path_factory.mktemp("outer")
    upstream_key = add_key(Store(inner / "ledger.sqlite"), "gateway", budget="$1")
    with running(inner) as (url, _), gateway_over(url, outer, key=upstream_key) as (own, _):
        yield own, outer / "ledger.sqlite"


def hits(usage: dict[str, Any]) -> int:
    found = usage.get("prompt_cache_hit_tokens", usage.get("cache_read_input_tokens"))
    assert isinstance(found, int)
    return found


BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": PROMPT},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/messages": {"messages": [{"role": "user", "content": PROMPT}]},
}


@pytest.mark.parametrize("path", BODIES)
def test_keys_do_not_share_prefixes(ours: tuple[str, Path], path: str) -> None:
    url, ledger = ours
    store = Store(ledger)
    alice, bob = (
        {"Authorization": f"Bearer {add_key(store, name + path.replace('/', '-'))}"} for name in ("alice", "bob")
    )
    store.close()

    def ask(header: dict[str, str], **more: Any) -> int:
        body = {"model": "small", "max_tokens": 2, **BODIES[path], **more}
        return hits(httpx2.post(url + path, json=body, headers=header, timeout=60).json()["usage"])

    assert ask(alice) == 0
    assert ask(bob) == 0
    assert ask(alice) > 0
    assert ask(bob) > 0
    users = {"metadata": {"user_id": "eve"}} if path == "/v1/messages" else {"user_id": "eve"}
    assert ask(alice, **users) == 0  # whom alice tells apart stay apart
    assert ask(bob, **users) == 0
    assert ask(alice, **users) > 0


@pytest.mark.parametrize("owner", ["vllm", "sglang", "deepseek", "centime"])
@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_what_keeps_them_apart_names_nobody_and_cannot_be_forged(owner: str, kind: Any) -> None:
    field = "cache_salt" if owner in {"vllm", "sglang"} else "user_id"

    def salt(name: str, own: str | None, secret: bytes = b"s" * 32) -> str:
        inside = {"metadata": {field: own}} if field == "user_id" and kind == "messages" else {field: own}
        body = salted(inside if own else {}, kind, owner, name, secret)
        found = body["metadata"][field] if field == "user_id" and kind == "messages" else body[field]
        assert isinstance(found, str)
        assert "alice" not in found
        return found

    alice = salt("alice", None)
    assert alice == salt("alice", None)
    others = [salt("bob", None), salt("alice", "eve"), salt("bob", "eve"), salt("alice", None, b"t" * 32)]
    assert len({alice, *others, salt("bob", alice), salt("alic", "e")}) == 7


def test_without_keys_and_where_there_is_no_salt_nothing_is_added(put: Callable[..., Put]) -> None:
    made = put(answer("Hello", 10, 1))
    made.post()
    assert made.upstream.bodies == [ASK]
    made.post(**key(made))
    assert set(made.upstream.bodies[1]) == {*ASK, "cache_salt"}
    other = put(answer("Hello", 10, 1), owner="llamacpp")
    other.post(**key(other, name="bob"))
    assert not {"cache_salt", "user_id"} & other.upstream.bodies[0].keys()


def test_the_secret_is_kept_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    secret = installation_secret(folder)
    assert installation_secret(folder) == secret
    assert len(secret) == 32
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"cut")
    assert len(installation_secret(folder)) == 32
    os.chmod(path, 0)
    assert len(installation_secret(tmp_path / "home" / "gateway.secret")) == 32  # no folder: for this process alone


PAGE = {"Origin": "http://evil.example"}


FROM_PAGES: list[tuple[dict[str, str], int]] = [
    ({"Content-Type": "text/plain", **PAGE}, 403),
    ({"Content-Type": "application/json", **PAGE}, 403),
    ({"Content-Type": "application/json", "Origin": "null"}, 403),
    ({"Content-Type": "application/json", "Origin": "http://[x"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "text/plain; charset=application/json"}, 415),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/tokenize", "/v1/embeddings"])
def test_no_page_can_spend(put: Callable[..., Put], path: str) -> None:
    made = put(answer("Hello", 10, 1))
    for headers, status in FROM_PAGES:
        response = made.post(ASK, path, **headers)
        assert response.status_code == status, (headers, response.text)
        assert (response.json().get("type") == "error") == ("messages" in path)
        assert made.upstream.bodies == []
        assert made.sums()[0] == 0
