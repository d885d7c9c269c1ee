"""Whatever a client sends, the gateway and the server behind it understand the same: form, verdict and charge."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.api.running import running
from tests.serve.gateway.put import settled
from tests.serve.gateway.running import gateway_over

from centime.ledger.served import served_rows
from centime.serve.gateway.gateway import Gateway

pytestmark = pytest.mark.slow

Both = tuple[str, str, Path, Path, Gateway]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """(our server's URL, the gateway's, their ledgers, the gateway)."""
    inner, outer = tmp_path_factory.mktemp("inner"), tmp_path_factory.mktemp("outer")
    with running(inner) as (url, _), gateway_over(url, outer, prices="0.1,1,2") as (own, gateway):
        yield url, own, inner / "ledger.sqlite", outer / "ledger.sqlite", gateway


ODD = st.sampled_from([
    True, False, None, 0, 1, 2, -1, 1.0, 0.0, 2.5, "1", "0", "true", "yes", "on", "no", "off", "Y", "perhaps", "",
    " 3 ", [], [1], {}, {"include_usage": True}, 10**30, "10", "3.0",
])  # fmt: skip
TEXT = st.text(st.characters(codec=None), max_size=6)  # halves of pairs too
NUMBERS = {"n": ODD, "max_tokens": ODD, "stream": ODD, "temperature": ODD, "seed": ODD, "user": ODD | TEXT}
OPTIONS = ODD | st.fixed_dictionaries({}, optional={"include_usage": ODD, "continuous_usage_stats": ODD, "other": ODD})
CONTENT = TEXT | st.just("the cat sat") | ODD
BODIES = st.one_of(
    st.tuples(
        st.just("/v1/chat/completions"),
        st.fixed_dictionaries(
            {"messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": CONTENT}), max_size=2)},
            optional={**NUMBERS, "stream_options": OPTIONS, "max_completion_tokens": ODD, "unknown": ODD},
        ),
    ),
    st.tuples(
        st.just("/v1/completions"),
        st.fixed_dictionaries({"prompt": CONTENT}, optional={**NUMBERS, "stream_options": OPTIONS, "echo": ODD}),
    ),
    st.tuples(
        st.just("/anthropic/v1/messages"),
        st.fixed_dictionaries(
            {"messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": CONTENT}), max_size=2)},
            optional={"max_tokens": ODD, "stream": ODD, "metadata": ODD, "unknown": ODD},
        ),
    ),
)
# A limit of the engine's steps, so that no answer is long: the small model never ends one by itself for long.
SHORT = {"max_tokens": 3}


def form(response: httpx2.Response) -> str:
    """stream, body, or the kind of error: what is wrong is told before anything is computed."""
    if response.status_code == 200:
        return "stream" if "event-stream" in response.headers["content-type"] else "body"
    assert response.json()["error"]["message"], response.text
    assert 400 <= response.status_code < 500, response.text
    return "refused"


def books(ledger: Path) -> tuple[int, ...]:
    rows = served_rows(sqlite3.connect(ledger))
    names = ("requests", "prompt_tokens", "hit_tokens", "output_tokens", "list_pico")
    return tuple(sum(getattr(row, name) for row in rows) for name in names)


@given(BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_gateway_and_server_agree(both: Both, asked: tuple[str, dict[str, Any]]) -> None:
    url, own, inner, outer, gateway = both
    path, body = asked
    sent = json.dumps({"model": "small", **SHORT, **body}).encode()
    headers = {"Content-Type": "application/json"}
    before = books(inner), books(outer)
    through = httpx2.post(own + path, content=sent, headers=headers, timeout=60)
    settled(gateway)
    after = books(inner), books(outer)
    assert [new - old for new, old in zip(after[0], before[0], strict=True)] == [
        new - old for new, old in zip(after[1], before[1], strict=True)
    ]
    direct = httpx2.post(url + path, content=sent, headers=headers, timeout=60)
    assert form(through) == form(direct), (through.text, direct.text)
    assert after[1][0] - before[1][0] == (through.status_code == 200)
