"""Our own server: what is left of a budget lowers max_tokens, in every API, and the answer says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.accounts.budgets.made import key
from tests.serve.api.running import running

from centime.serve.http.affordable import shared_out

TURNS = {"model": "small", "messages": [{"role": "user", "content": "the cat"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("home")
    with running(home) as (url, _):
        yield url, home / "ledger.sqlite"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", TURNS),
        ("/v1/completions", {"model": "small", "prompt": "the cat"}),
        ("/anthropic/v1/messages", TURNS),
    ],
)
def test_what_is_left_lowers_the_longest_answer(server: tuple[str, Path], path: str, body: dict[str, Any]) -> None:
    url, ledger = server
    secret = key(ledger, path.replace("/", "")[:20], budget="$0.0001")  # output $2, prompt $1 a million tokens
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        told = client.post(path, json=body | {"max_tokens": 2000})
        assert told.status_code == 200, told.text
        lowered = int(told.headers["x-centime-max-tokens"])
        assert 0 < lowered <= 50
        usage = told.json()["usage"]
        assert usage["cost"]["max_tokens_lowered_to"] == lowered
        assert usage.get("completion_tokens", usage.get("output_tokens")) <= lowered
        left = float(client.get("/user/balance").json()["balance_infos"][0]["total_balance"])
        assert left >= 0


@given(asked=st.lists(st.integers(0, 50), max_size=8), granted=st.integers(0, 400))
def test_what_is_granted_is_shared_out_to_the_last_that_all_can_have(asked: list[int], granted: int) -> None:
    most = shared_out(asked, granted)
    assert sum(min(tokens, most) for tokens in asked) <= granted or not asked
    if most < max(asked, default=0):
        assert sum(min(tokens, most + 1) for tokens in asked) > granted
