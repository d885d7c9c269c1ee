"""`centime catalogue price` and `vectors`, as a person and a program ask them."""

from __future__ import annotations

import csv
import io
import json

from typer.testing import CliRunner

from centime.cli import app
from centime.cli.program.ending import run


def asked(*words: str) -> str:
    done = CliRunner().invoke(app, ["catalogue", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_a_request_of_an_instant_is_charged() -> None:
    said = asked("price", "deepseek-flash", "--at", "2026-10-10T02:00Z", "--hit", "900000", "--output", "20000")
    assert "off-peak at 2026-10-10T02:00:00Z: 0.003/0.15/0.6 USD" in said
    assert "0.0147 USD for 900,000 tokens" in said
    assert "2026-10-10 is worked in China" in said
    found = json.loads(asked("price", "deepseek-v4-pro", "--at", "2026-09-15T02:00Z", "--miss", "1000000", "--json"))
    assert (found["cost"], found["hours"], found["doubt"]) == (1.32, "peak", None)  # never billed as Flash


def test_without_an_instant_it_is_now() -> None:
    found = json.loads(asked("price", "0.1,0.2,0.3 CNY", "--json"))
    assert (found["hit"], found["miss"], found["output"], found["currency"]) == (0.1, 0.2, 0.3, "CNY")
    assert found["hours"] is None


def test_before_the_first_list_there_is_no_price() -> None:
    assert run(["catalogue", "price", "deepseek-flash", "--at", "2026-01-01T00:00Z"]) == 2


def test_the_vectors_are_printed_as_they_are_shipped() -> None:
    rows = list(csv.DictReader(io.StringIO(asked("vectors"))))
    assert len(rows) > 40
    assert rows == json.loads(asked("vectors", "--json"))
