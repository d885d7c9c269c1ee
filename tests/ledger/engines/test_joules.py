"""Joules of a metered engine: counters of this machine or a chip's power, split as its time, exact in sum."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.engines.pages import START, Did, llamacpp, shown, vllm
from tests.ledger.made import HOUR
from tests.ledger.test_energy import powercap

from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.energy import NO_ENERGY, EnergyCounter, EnergyUse, Footprint
from centime.ledger.engines.engine_device import engine_device
from centime.ledger.engines.metering import metered
from centime.ledger.engines.model_name import model_behind
from centime.ledger.engines.shown import meter_json, meter_table
from centime.ledger.engines.spans import EngineSpan, EngineWork
from centime.ledger.engines.split import split
from centime.ledger.engines.watch import page_of
from centime.ledger.engines.weights import WindowsSeen
from centime.ledger.imports import Terms

SPANS = st.lists(
    st.tuples(
        st.integers(1, 2 * HOUR),  # how long
        st.floats(0, 1),  # busy
        st.integers(0, 500),  # tokens put out
        st.builds(EnergyUse, st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50)),
        st.sampled_from(["", "", "silent"]),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(SPANS, st.integers(1, 9))
def test_the_parts_joules_add_up_to_the_measured_whole(
    drawn: list[tuple[int, float, int, EnergyUse, str]], devices: int
) -> None:
    spans, start = [], START
    for length, busy, tokens, energy, unseen in drawn:
        work = {"m": EngineWork(decoded=tokens, computed=tokens // 3)} if tokens else {}
        spans.append(EngineSpan(start, start + length, 0 if unseen else int(busy * length), work, unseen, energy))
        start += length
    hours = split(spans, WindowsSeen().weights(), devices)
    assert sum((hour.energy for hour in hours), NO_ENERGY) == sum((span.energy for span in spans), NO_ENERGY)
    for hour in hours:
        assert sum(part.device_ns for part in hour.parts) == hour.device_ns


class Counting:
    """An engine on a machine whose counter moves by a joule at each look."""

    def __init__(self, counter: Path) -> None:
        self.looks, self._counter = 0, counter

    def page(self) -> str:
        self.looks += 1
        self._counter.write_text(str(999_000 + 1_000_000 * self.looks))
        return vllm(Did(1000 * self.looks, 0, 20 * self.looks, self.looks, running=self.looks % 2))


def test_a_loopback_engine_is_counted_by_this_machine(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = powercap(tmp_path / "powercap", span=10**9)
    monkeypatch.setenv("CENTIME_POWERCAP", str(tmp_path / "powercap"))
    engine, terms = Counting(first), Terms("$2/h", None, 1)
    with shown(engine.page) as address:
        watch = metered(book, page_of(address), terms, 0.3, 0.05)
    said = json.loads(json.dumps(meter_json(watch, terms, Footprint.chosen("100 g/kWh"))))
    whole = (engine.looks - 1) * 1_000_000  # from the first reading of the page to the last
    found = bill_of(book)
    assert sum(line.energy.measured_uj for line in found.imported) == whole
    assert said["energy_source"] == "measured"
    assert said["carbon_grams"] == pytest.approx(whole / 3.6e12 * 100)
    assert sum(part["energy_kwh"] or 0 for hour in said["hours"] for part in hour["parts"]) == pytest.approx(
        said["energy_kwh"]
    )
    assert "100 g CO2e per kWh" in printed(meter_table(watch, terms, Footprint.chosen("100 g/kWh")))


@pytest.mark.parametrize(
    ("url", "named", "source", "watts"),
    [
        ("http://gpu1:8000", "H100", "tdp", 700),
        ("http://localhost:8000", "H100", "tdp", 700),  # a tunnel's end: there is none in this machine
        ("http://gpu1:8000", None, "none", None),
        ("http://gpu1:8000", "no such chip", "none", None),
    ],
)
def test_what_counts_an_engine_elsewhere(url: str, named: str | None, source: str, watts: float | None) -> None:
    device = engine_device(url, "x", named, 4)
    counter = EnergyCounter(device, 4)
    assert (counter.source, device.tdp_watts) == (source, watts)
    assert counter.microjoules(10**9) == (watts or 0) * 4 * 10**6


def test_how_it_is_known_is_said(book: Book) -> None:
    terms = Terms(None, "H100", 2)
    with shown(lambda: vllm(Did(1))) as address:
        watch = metered(book, page_of(address), terms, 0.1, 0.05)
    assert any(note.startswith("energy: power at full load, an upper bound, since") for note in watch.notes())
    assert {line.energy.source for line in bill_of(book).imported} == {"estimated"}


@contextmanager
def listing(models: bytes) -> Iterator[str]:
    """A llama-server: a page without a model's name, and a list of models."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = models if self.path == "/v1/models" else llamacpp(Did(10, 0, 5, 1, running=1)).encode()
            self.send_response(200 if body else 401)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("models", "name"),
    [
        (b'{"data": [{"id": "/models/qwen3-0.6b-q8_0.gguf"}]}', "qwen3-0.6b-q8_0"),
        (json.dumps({"data": [{"id": "C:\\m\\big-00001-of-00003.gguf"}]}).encode(), "big"),
        (b'{"data": [{"id": "org/model"}]}', "org/model"),
        (b'{"data": [{"id": "a"}, {"id": "b"}]}', ""),
        (b'{"data": []}', ""),
        (b'{"data": 5}', ""),
        (b"[]", ""),
        (b"no json", ""),
        (b"", ""),  # 401: it wants a key
    ],
)
def test_an_unnamed_model_goes_by_what_the_server_lists(book: Book, models: bytes, name: str) -> None:
    with listing(models) as page:
        assert model_behind(page) == name
        watch = metered(book, page, Terms(), 0.1, 0.05)
    assert watch.last is not None
    assert set(watch.last.models) == {name or "(unnamed model)"}
