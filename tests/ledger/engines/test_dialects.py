"""Pages of engines: the same work reads the same, whoever's names it has, and what a page lacks is named."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.ledger.engines.pages import Did, llamacpp, reading, sglang, vllm

from centime.errors import UserError
from centime.ledger.engines.dialects import EngineCounters

DID = Did(computed=700, cached=300, decoded=90, requests=4, running=2, held=800, spent=6, busy=5)


def test_vllm_and_sglang() -> None:
    first, second = reading(vllm(DID), 0), reading(sglang(DID), 0)
    assert first.models == second.models == {"m": EngineCounters(700, 300, 90, 4)}
    assert (first.running, second.running) == (2, 2)
    assert (first.held, second.held) == (800, 800)
    assert (first.busy_s, first.spent_s, first.started) == (None, 6, 1)
    assert (second.busy_s, second.spent_s, second.started) == (5, None, None)
    assert first.lacking == second.lacking == ()


def test_llama_server() -> None:
    found = reading(llamacpp(DID), 0)
    assert found.models == {"(unnamed model)": EngineCounters(700, 0, 90, 0)}
    assert (found.running, found.spent_s) == (2, 6)
    assert found.lacking == ("tokens found in the cache", "finished requests", "the context that is read")


def test_two_models_and_two_engines_of_one() -> None:
    both = vllm(DID, "a") + vllm(DID, "b") + vllm(DID, "b").replace('engine="0"', 'engine="1"')
    found = reading(both, 0)
    assert {model: counts.decoded for model, counts in found.models.items()} == {"a": 90, "b": 180}
    assert found.running == 6


def test_more_hits_than_prompt_are_no_negative_work() -> None:
    page = (
        vllm(DID)
        .replace("prompt_tokens_cached_total{engine", "prefix_cache_hits_total{engine")
        .replace(" 300\n", " 5000\n")
    )
    assert reading(page, 0).models["m"] == EngineCounters(0, 1000, 90, 4)


@pytest.mark.parametrize("page", ["", "up 1\n", "<html>", "vllm:kv_cache_usage_perc 0.1\n"])
def test_a_page_of_nobody(page: str) -> None:
    with pytest.raises(UserError, match="none of the counters of vLLM"):
        reading(page, 0)


def test_an_engine_that_has_served_nothing_yet() -> None:
    found = reading("# HELP vllm:prompt_tokens Number of prefill tokens processed.\n", 0)
    assert (found.models, found.running) == ({}, 0)


def test_numbers_that_are_none() -> None:
    with pytest.raises(UserError, match="line 5: vllm:num_requests_running is 'NaN'"):
        reading(vllm(DID).replace('running{engine="0",model_name="m"} 2', 'running{engine="0",model_name="m"} NaN'), 0)
    assert reading(vllm(DID).replace(" 90\n", " 9.1508e+07\n"), 0).models["m"].decoded == int(Decimal("9.1508e+07"))
