"""Traces in every form that is read: columns by their names, what cannot be read by its line."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path

import pytest

from centime.catalogue.tariffs.peak_hours import peak_hours
from centime.errors import UserError
from centime.ledger.billing.requests_file import COLUMNS
from centime.plan.breakeven.trace import Trace, TracedRequest
from centime.plan.breakeven.trace_file import _instant, _tokens, read_trace

START = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC)
REQUESTS = [(0.0, 100, 10, 0), (1.5, 200, 20, 50), (60.25, 4000, 300, 1000)]
WANTED = tuple(TracedRequest(START.timestamp() + s, p, a, c) for s, p, a, c in REQUESTS)


def read(tmp_path: Path, text: str, name: str = "trace") -> Trace:
    (tmp_path / name).write_text(text)
    return read_trace(tmp_path / name)


def moment(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def table(head: list[str], rows: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    return out.getvalue()


def lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


FORMS = {
    "a bill's requests": table(
        list(COLUMNS),
        [[moment(s).isoformat(), "alice", "m", p, c, a, 0.1, 9, 1, "USD", "list"] for s, p, a, c in REQUESTS],
    ),
    "LiteLLM": lines(
        [
            {
                "request_id": "x",
                "startTime": moment(s).isoformat().replace("+00:00", "Z"),
                "endTime": moment(s + 9).isoformat(),
                "usage": {
                    "prompt_tokens": p,
                    "completion_tokens": a,
                    "prompt_tokens_details": {"cached_tokens": c},
                },
            }
            for s, p, a, c in REQUESTS
        ]
    ),
    "a list of JSON": json.dumps(
        [
            {"created": START.timestamp() + s, "num_prompt_tokens": p, "num_generation_tokens": a, "cached_tokens": c}
            for s, p, a, c in REQUESTS
        ],
        indent=1,
    ),
    "milliseconds since the epoch": table(
        ["arrived_at_ms", "isl", "osl", "cached"],
        [[1e3 * (START.timestamp() + s), p, a, c] for s, p, a, c in REQUESTS],
    ),
    "nanoseconds since the epoch": table(
        ["timestamp", "input_tokens", "output_tokens", "cache_read_input_tokens"],
        [[int(1e9 * (START.timestamp() + s)), p, a, c] for s, p, a, c in REQUESTS],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_requests(tmp_path: Path, form: str) -> None:
    found = read(tmp_path, FORMS[form])
    assert [(r.prompt, r.answer, r.cached) for r in found.requests] == [(p, a, c) for _, p, a, c in REQUESTS]
    assert [r.at_s for r in found.requests] == pytest.approx([r.at_s for r in WANTED], abs=1e-3)
    assert found.dated
    assert found.start() == "2026-11-24T08:00Z"
    assert not found.faults


UNDATED = {
    "Azure's trace": ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "2023-11-16 18:17:0{s:.7f},{p},{a}\n", True),
    "BurstGPT": ("Timestamp,Model,Request tokens,Response tokens\n", "{s},ChatGPT,{p},{a}\n", False),
    "plain": ("time,prompt,answer\n", "{s},{p},{a}\n", False),
}


@pytest.mark.parametrize("form", UNDATED)
def test_public_traces(tmp_path: Path, form: str) -> None:
    head, line, dated = UNDATED[form]
    text = head + "".join(line.format(s=s, p=p, a=a) for s, p, a in [(1.5, 100, 10), (4.25, 200, 20)])
    found = read(tmp_path, text)
    assert [(r.prompt, r.answer) for r in found.requests] == [(100, 10), (200, 20)]
    assert found.requests[1].at_s - found.requests[0].at_s == pytest.approx(2.75, abs=1e-4)
    assert found.dated == dated
    assert (found.start() == "") != dated


def test_mooncakes_timestamps_are_milliseconds(tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 5, "output_length": 2, "hash_ids": [1]} for t in (0, 3000)]
    assert read(tmp_path, lines(rows)).requests[1].at_s == 3.0


def test_a_detailed_benchmark_of_vllm(tmp_path: Path) -> None:
    text = json.dumps({"model_id": "m", "input_lens": [5, 6], "output_lens": [2, 3], "start_times": [10.5, 12.0]})
    assert [(r.at_s, r.prompt, r.answer) for r in read(tmp_path, text).requests] == [(10.5, 5, 2), (12.0, 6, 3)]


def test_a_log_of_vllm(tmp_path: Path) -> None:
    text = (
        "INFO 11-30 08:00:00 [api_server.py:1] Starting\n"
        "INFO 11-30 08:00:01 [logger.py:40] Received request cmpl-1: prompt: 'a [b', params: P(), prompt_token_ids: "
        "[1, 2, 3], prompt_embeds shape: None, lora_request: None.\n"
        "INFO 11-30 08:00:05 [logger.py:40] Received request cmpl-2: prompt: 'c', prompt_token_ids: [4], x\n"
        "INFO 11-30 08:00:06 [logger.py:70] Generated response cmpl-1: output: 'z', output_token_ids: [7, 8], "
        "finish_reason: stop\n"
        "INFO 11-30 08:00:07 [logger.py:70] Generated response cmpl-2 (streaming delta): output: 'y', "
        "output_token_ids: [9], finish_reason: None\n"
        "INFO 11-30 08:00:08 [logger.py:70] Generated response cmpl-2 (streaming delta): output: 'y', "
        "output_token_ids: [9, 9], finish_reason: length\n"
    )
    first, second = read(tmp_path, text).requests
    assert (first.prompt, first.answer, second.prompt, second.answer) == (3, 2, 1, 3)
    assert second.at_s - first.at_s == 4


def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    text = "time,prompt_tokens,output_tokens\n0,5,5\nsoon,5,5\n2,many,5\n3,5,\n4,5,0\n5,5,5\n"
    found = read(tmp_path, text)
    assert [r.at_s for r in found.requests] == [0, 5]
    assert "line 3: time is 'soon'" in found.faults[0]
    assert "line 4: prompt_tokens is 'many'" in found.faults[1]
    assert "line 5: output_tokens is ''" in found.faults[2]
    assert found.faults[3] == "and 1 line more"


@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        ("0", 0), ("99999999999", 99999999999), ("1e11", 1e8), ("99999999999999", 99999999999.999), ("1e14", 1e8),
        ("9e16", 9e10), ("1e17", 1e8), ("9.9e19", 9.9e10), ("1e20", None), ("-1", None), (True, None),
    ],
)  # fmt: skip
def test_a_number_is_an_instant_by_its_size(number: object, seconds: float | None) -> None:
    """Seconds below 1e11, then milliseconds, micro- and nanoseconds of the calendar; no more than twenty digits."""
    if seconds is None:
        with pytest.raises(ValueError, match=r"time is .*, no instant"):
            _instant(number, "time", None)
    else:
        assert _instant(number, "time", None) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(("found", "least"), [("1", 1.0), ("1e9", 1.0), ("0", 0.0)])
def test_tokens_of_a_request_at_their_bounds(found: str, least: float) -> None:
    assert _tokens(found, "isl", least=least) == float(found)
    for wrong in (least - 1e-9, 1e9 + 1, True, None):
        with pytest.raises(ValueError, match=r"isl is .*, not a number of tokens"):
            _tokens(wrong, "isl", least=least)


def test_a_year_of_requests_is_a_trace_and_its_faults_are_told_up_to_three(tmp_path: Path) -> None:
    found = read(tmp_path, f"time,prompt,answer\n0,5,5\n{366 * 86400},5,5\n" + "x,5,5\n" * 3)
    assert found.requests[1].at_s == 366 * 86400
    assert [fault.partition(":")[0] for fault in map(str, found.faults)] == ["line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,prompt_tokens\n0,5\n1,5\n", "no column holds the answer"),
        ("when,prompt_tokens,output_tokens\n0,5,5\n", "no column holds the instant"),
        ("time,prompt_tokens,output_tokens\nx,y,z\n", "no request could be read .line 2"),
        ("time,prompt_tokens,output_tokens\n", "no column"),
        ("time,prompt_tokens,output_tokens\n7,5,5\n7,5,5\n", "at one instant"),
        ("time,prompt_tokens,output_tokens\n0,5,5\n9e9,5,5\n", "most 366"),
        ("", "no column"),
        ("{}\n{}\n", "no column"),
        ("[1, 2]", "no column"),
        ('{"a": 1}', "no column holds the instant .*; found a"),
        ('[{"time": 1', "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_trace_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_trace(tmp_path / "nowhere.csv")


def made(instants: list[float]) -> Trace:
    return Trace(tuple(TracedRequest(at, 90.0, 10.0, 45.0) for at in instants), dated=False)


def test_means_hits_and_the_peak() -> None:
    trace = made([0.0] * 6 + [float(s) for s in range(600, 1200, 100)] + [float(s) for s in range(1200, 1800, 25)])
    assert (trace.isl, trace.osl, trace.hit) == (90, 10, 0.5)
    assert trace.stretches == pytest.approx((6 / 600, 6 / 600, 24 / 575))
    assert trace.seconds == 1775
    assert trace.peak_to_mean == pytest.approx(24 / 575 / (36 / 1775))
    assert trace.hours == pytest.approx((24 / 575,))
    assert trace.tokens_per_day == pytest.approx(3600 / 1775 * 86400)


@pytest.mark.parametrize(("seconds", "last"), [(1499.0, 4 / 899), (1500.0, 2 / 300), (1799.0, 2 / 599)])
def test_five_minutes_are_a_stretch_of_their_own_and_less_are_not(seconds: float, last: float) -> None:
    found = made([0.0, 1.0, 2.0, 600.0, 700.0, 1201.0, seconds])
    assert found.stretches[0] == 3 / 600
    assert found.stretches[-1] == pytest.approx(last)
    assert len(found.stretches) == (2 if seconds < 1500 else 3)


def test_the_busiest_requests_are_no_more_than_asked_for() -> None:
    trace = made([60.0 * i for i in range(60)] + [3600 + 10.0 * i for i in range(360)])
    assert [one.at_s for one in trace.busiest(most=10_000)][::209] == [5100, 7190], "around the last ten minutes"
    few = trace.busiest(most=5)
    assert len(few) == 5
    assert few[-1].at_s - few[0].at_s == 40


def test_hours_are_held_by_their_busiest_ten_minutes() -> None:
    trace = made([60.0 * i for i in range(60)] + [3600 + 10.0 * i for i in range(360)])
    assert len(trace.hours) == 2
    assert trace.hours == pytest.approx((1 / 60, 1 / 10), rel=0.02)
    busy = trace.busiest(most=100)
    assert len(busy) <= 100
    assert busy[0].at_s >= 3000


def test_tokens_in_the_peak_hours_of_an_api() -> None:
    hours = peak_hours("09:00-10:00")
    at = START.timestamp()
    trace = Trace(tuple(TracedRequest(at + s, 90.0, 10.0) for s in (0.0, 3600.0, 3700.0, 8000.0)), dated=True)
    assert trace.peak_share(hours) == 0.5
