"""What was really served, written request by request, is the trace that `plan breakeven` reads, figure for figure."""

from __future__ import annotations

import csv
import datetime
import time
from pathlib import Path

import pytest
from openai import OpenAI
from tests.serve.api.running import running

from centime.ledger import Book
from centime.ledger.billing import bill_of, write_requests
from centime.plan.breakeven.trace_file import read_trace

pytestmark = pytest.mark.slow


def test_a_table_of_served_requests_is_the_trace_of_them(tmp_path: Path) -> None:
    asked = [("the cat sat on the mat and saw " * 9, 5), ("the cat sat on the mat and saw " * 9, 9), ("a dog", 3)]
    usages, before = [], time.time()
    with running(tmp_path) as (url, _):
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        for prompt, tokens in asked:
            answer = client.completions.create(model="small", prompt=prompt, max_tokens=tokens, temperature=0)
            assert answer.usage is not None
            usages.append(answer.usage)
        client.completions.create(model="small", prompt=["one", "two"], n=2, max_tokens=2)  # one request, one charge
        after = time.time()
    path = tmp_path / "requests.csv"
    with Book(tmp_path / "ledger.sqlite") as book:
        assert write_requests(book, path) == 4
        served = bill_of(book).serving
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    trace = read_trace(path)
    assert trace.columns == ("instant", "prompt_tokens", "answer_tokens", "cached_tokens")  # none was guessed
    assert (trace.dated, trace.faults) == (True, ())
    for usage, row, traced in zip(usages, rows, trace.requests, strict=False):
        told = usage.model_extra or {}
        counts = (usage.prompt_tokens, usage.completion_tokens, told["prompt_cache_hit_tokens"])
        assert (traced.prompt, traced.answer, traced.cached) == counts
        assert [int(row[name]) for name in ("prompt_tokens", "answer_tokens", "cached_tokens")] == list(counts)
        assert (row["price"], row["currency"], row["model"], row["key"]) == (
            *(told["cost"]["list_price"], "USD"),
            *("small", ""),
        )
        assert 0 < float(row["ttft_s"]) <= float(row["seconds"]) < after - before
        assert datetime.datetime.fromisoformat(row["instant"]).timestamp() == pytest.approx(traced.at_s, abs=2e-6)
        assert before <= traced.at_s + float(row["seconds"]) <= after + 0.01
    assert trace.requests[1].cached > 0
    assert served is not None
    for name, column in (("prompt_tokens", "prompt_tokens"), ("hit_tokens", "cached_tokens")):
        assert sum(int(row[column]) for row in rows) == getattr(served.total, name)
    assert sum(round(float(row["price"]) * 1e12) for row in rows) == served.total.list_pico
