"""`centime bill` as a person meets it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

from tests import forked
from tests.ledger.made import made

from centime.ledger import Book


def centime(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.centime(*arguments)


def test_a_fresh_machine_has_nothing_to_pay(centime_home: Path) -> None:
    done = centime("bill")
    assert done.returncode == 0
    assert f"Nothing has been booked yet: there is no ledger at {centime_home / 'ledger.sqlite'}" in done.stdout
    assert not (centime_home / "ledger.sqlite").exists()
    unknown = centime("bill", "tiny")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr == "centime: the ledger has no run 'tiny': no run has been booked yet.\n"
    assert json.loads(centime("bill", "--json").stdout)["lines"] == []


def test_table_json_and_focus_of_one_run(tmp_path: Path) -> None:
    with Book() as book:
        book.write([made(), made("sft"), made("context", run="other", run_path=None)])
    assert "Pre-training" in centime("bill", "tiny").stdout
    whole = json.loads(centime("bill", "--json").stdout)
    assert [line["stage"] for line in whole["lines"]] == ["pretrain", "context", "sft"]
    done = centime("bill", "tiny", "--json", "--focus", str(tmp_path / "charges.csv"))
    assert [line["stage"] for line in json.loads(done.stdout)["lines"]] == ["pretrain", "sft"]
    assert "2 charges in FOCUS 1.2" in done.stderr
    with (tmp_path / "charges.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    mistaken = centime("bill", "tinny")
    assert mistaken.returncode == 2
    assert "Did you mean 'tiny'?" in mistaken.stderr


def test_a_price_for_what_was_booked_without_one() -> None:
    with Book() as book:
        book.write([made(hours=3, price_per_hour=None, currency=None, price_date=None, price_kind=None)])
    assert "no price" in centime("bill").stdout
    values = json.loads(centime("bill", "--json", "--price", "2 EUR/h").stdout)
    assert (values["total"]["cost"], values["currency"], values["total"]["cost_source"]) == (6.0, "EUR", "given")
    assert centime("bill", "--price", "cheap").returncode == 2


def test_a_verb_that_is_mistyped_costs_nothing() -> None:
    done = centime("train", "no-such-recipe.toml")
    assert done.returncode == 2
    assert "no-such-recipe.toml" in done.stderr
    assert Book().intervals() == []


def test_it_starts_without_the_heavy_libraries() -> None:
    """A thousand intervals are no reason to import torch: the bill is there in a fraction of a second."""
    with Book() as book:
        book.write([made(tokens=number) for number in range(1000)])
    program = "import sys; from centime.cli import app; app(['bill'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "numpy", "transformers", "pyarrow"}
