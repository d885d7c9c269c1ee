"""`centime meter` on real servers: what it books is what it shows, and the bill has it."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from tests.ledger.billing.printed import printed
from tests.ledger.engines.pages import Did, shown, vllm
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.energy import Footprint
from centime.ledger.engines.metering import metered
from centime.ledger.engines.shown import meter_json, meter_table
from centime.ledger.engines.watch import page_of
from centime.ledger.imports import Terms


class Working:
    """An engine that does a little more at each look, and answers nothing at the looks in `silent`."""

    def __init__(self, silent: tuple[int, ...] = ()) -> None:
        self.looks, self.silent = 0, silent

    def page(self) -> str | None:
        self.looks += 1
        n = self.looks
        return None if n in self.silent else vllm(Did(1000 * n, 100 * n, 20 * n, n, running=n % 2))


def test_what_is_booked_is_what_is_shown(book: Book) -> None:
    terms = Terms("$2.10/h", None, 8)
    with shown(Working(silent=(3,)).page) as address:
        watch = metered(book, page_of(address), terms, 0.3, 0.05)
    said = json.loads(json.dumps(meter_json(watch, terms, Footprint(None))))
    lines = {line.name: line for line in bill_of(book).imported}
    host = address.removeprefix("http://")
    (model,) = (part for hour in said["hours"] for part in hour["parts"] if part["model"])
    assert lines[f"{host} m"].device_ns == model["device_ns"]
    assert lines[f"{host} m"].output_tokens == model["decoded"] > 0
    assert sum(line.device_ns for line in lines.values()) == said["device_ns"] >= 8 * 3 * 10**8
    assert watch.missed == 1
    text = printed(meter_table(watch, terms, Footprint(None)))
    assert f"{host} (vLLM), 8 devices" in text
    assert "1 reading failed" in text
    assert "are assumed (DeepSeek's Day 6" in text


def test_a_signal_ends_it_and_books_what_there_is(book: Book) -> None:
    with shown(Working().page) as address:
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.2, signal.pthread_kill, [main, signal.SIGTERM]).start()
        watch = metered(book, page_of(address), Terms(), None, 60.0)
    assert watch.last is not None
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_engine_that_is_not_there(tmp_path: Path, book: Book) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        metered(book, "http://127.0.0.1:9/metrics", Terms(), 1, 0.1)
    with shown(lambda: "up 1\n") as address, pytest.raises(UserError, match="none of the counters"):
        metered(book, page_of(address), Terms(), 1, 0.1)
    assert book.imported() == []


@pytest.mark.parametrize("engine", ["gpu1:8000", "", "ftp://x", "http://", "http:///metrics"])
def test_no_address(engine: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        page_of(engine)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--for", "0s", "between nothing and ten years"),
        ("--for", "18446744073709551616s", "between nothing and ten years"),
        ("--device", "no-such-thing", "has no price"),
        ("--for", "-1h", "duration"),
        ("--every", "1h", "between 50 milliseconds"),
        ("--every", "soon", "duration"),
        ("--price", "cheap", "price"),
        ("--price", "$2/h x 0", "x 0"),
    ],
)
def test_options_are_refused_before_the_engine_is_asked(option: str, value: str, sentence: str) -> None:
    done = CliRunner().invoke(app, ["meter", "--engine", "http://127.0.0.1:1", option, value])
    assert isinstance(done.exception, UserError)
    assert sentence in str(done.exception)


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reading at each end; both questions of the bill find nothing that was served here."""
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path))
    export = tmp_path / "export.csv"
    export.write_text("utc_date,model,cost,currency\n2026-11-01,m,0.5,USD\n")
    with shown(Working().page) as address:
        words = ["meter", "--engine", address, "--price", "$2/h x 3", "--for", "0.1s", "--every", "0.1s"]
        done = CliRunner().invoke(app, [*words, "--json"])
    said = json.loads(done.stdout)
    assert (said["devices"], said["currency"], said["kind"]) == (3, "USD", "vllm")
    assert "0 lines of 1 agree" in CliRunner().invoke(app, ["bill", "--reconcile", str(export)]).stdout
    assert "Nothing was served" in CliRunner().invoke(app, ["bill", "--reprice", "2026-11-01"]).stdout
    (line, *_) = json.loads(CliRunner().invoke(app, ["bill", "--json"]).stdout)["imported"]
    assert (line["source"], line["cost_currency"]) == ("meter", "USD")
