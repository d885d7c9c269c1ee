"""The live view of an engine: each figure under its own name, rates and shares of what they say."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from tests.serve.pages.test_page import page
from tests.serve.web.browser import serving

from centime.catalogue.prices import price_given
from centime.serve.engine.request import Request
from centime.serve.engine.stats import EngineStats
from centime.serve.pages import engine_view
from centime.serve.pages.engine_view import EngineView, reading, seconds_per_token

FIGURES: dict[str, Any] = {
    "running": 1, "waiting": 2, "blocks": 40, "blocks_used": 10, "blocks_cached": 5, "block_tokens": 16,
    "cache_bytes": 6, "steps": 7, "preemptions": 8, "finished": 9, "prompt_tokens": 100, "hit_tokens": 25,
    "output_tokens": 50, "drafted_tokens": 20, "accepted_tokens": 15, "busy_ns": 10**9, "idle_ns": 3 * 10**9,
    "output_tokens_per_s": 13.5, "computed_tokens_per_s": 14.5, "failed": False,
}  # fmt: skip


class Standing:
    """An engine that stands as it is told."""

    context, vocabulary = 2048, 300

    def __init__(self, **figures: Any) -> None:
        self.figures = FIGURES | figures

    def stats(self) -> EngineStats:
        return EngineStats(**self.figures)

    def submit(self, request: Request) -> None:
        raise AssertionError("a view asks nothing")

    def abort(self, request_id: int) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


SHOWN = {
    "model": "small",
    "chat": False,
    "context": 2048,
    "device": "two cores",
    "now": {
        "output_tokens_per_second": 13.5, "computed_tokens_per_second": 14.5, "running": 1, "waiting": 2,
        "cache": 0.25, "hits": 0.25, "drafts": 0.75,
    },
    "cache": {"used": 10, "findable": 5, "total": 40, "block_tokens": 16},
    "drafts": {"made": 20, "kept": 15},
    "machine_ns": {"requests": 10**9, "idle": 3 * 10**9},
    "seconds_per_token": {"prompt": 1 / 125, "output": 1 / 50},
}  # fmt: skip


def test_what_is_shown_of_an_engine_and_its_past() -> None:
    price = price_given("$2/h")
    view = EngineView(Standing(), "small", "two cores", price, devices=4, chat=False)
    view._past.append({"at": 1.0})
    with serving(page(engine=view)) as url:
        shown = httpx.get(f"{url}page/engine").json()
        assert httpx.get(f"{url}page/engine/past").json() == {"span_s": 300, "readings": [{"at": 1.0}]}
    assert abs(shown["now"].pop("at") - time.time()) < 600
    assert shown == {**SHOWN, "price": {"per_hour": 8, "currency": "USD", "date": price.date, "kind": price.kind}}
    assert EngineView(Standing(), "small", "two cores", None)()["price"] is None


@pytest.mark.parametrize(
    ("figures", "absent"),
    [
        ({"blocks": 0}, {"cache"}),
        ({"prompt_tokens": 0, "hit_tokens": 0}, {"hits"}),
        ({"drafted_tokens": 0, "accepted_tokens": 0}, {"drafts"}),
        ({"blocks_used": 0, "hit_tokens": 0, "accepted_tokens": 0}, set()),
    ],
)
def test_a_share_of_nothing_is_none(figures: dict[str, int], absent: set[str]) -> None:
    now = reading(Standing(**figures).stats())
    assert {name for name, value in now.items() if value is None} == absent


@pytest.mark.parametrize(
    ("figures", "seconds"),
    [
        ({"output_tokens": 0}, None),
        ({"busy_ns": 0}, None),
        ({"prompt_tokens": 25, "output_tokens": 1}, {"prompt": 1, "output": 1}),  # every token of it found
        ({"busy_ns": 3 * 10**9, "output_tokens": 75}, {"prompt": 3 / 150, "output": 3 / 75}),
    ],
)
def test_what_a_token_has_taken(figures: dict[str, int], seconds: dict[str, float] | None) -> None:
    assert seconds_per_token(Standing(**figures).stats()) == seconds


def test_readings_are_taken_whether_or_not_anybody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_view, "EVERY_S", 0.001)
    view = EngineView(Standing(), "small", "two cores", None)

    async def watched() -> None:
        watch = asyncio.create_task(view.watch())
        while len(view.past()["readings"]) < 3:
            await asyncio.sleep(0.001)
        watch.cancel()

    asyncio.run(watched())
    times = [one["at"] for one in view.past()["readings"]]
    assert times == sorted(times)
