"""Joules on the bill: split as time is, exact in sum, never without how they are known; older ledgers open."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.made import at, made
from tests.serve.accounts.made import Use, keyed
from typer.testing import CliRunner

from centime.catalogue.grids import grid_intensity
from centime.catalogue.home import centime_home
from centime.cli import app
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of, table_of
from centime.ledger.book import connect, default_book_path
from centime.ledger.energy import NO_ENERGY, EnergyUse, Footprint
from centime.ledger.energy.carbon import format_grams
from centime.ledger.served import EngineTime, EngineTotals
from centime.ledger.tags import RequestTags

USES = st.builds(EnergyUse, st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 2**60))
SECOND = 10**9
KWH = 3_600_000_000_000


def said(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def serve(energies: list[EnergyUse], user: str = "bob") -> None:
    accounts, account = keyed(default_book_path(), f"{user}s-key")
    for energy in energies:
        ticket = accounts.admit(account)
        ticket.tag(RequestTags(user=user))
        ticket.raise_to(prompt_tokens=100, max_tokens=10)
        ticket.settle(Use(energy=energy))
    accounts.close()


@given(USES, USES)
def test_sums_are_exact_and_say_how_they_are_known(one: EnergyUse, two: EnergyUse) -> None:
    assert (one + two) - two == one
    assert (one + two).total_uj == one.total_uj + two.total_uj
    known = {name for name in (one.source, two.source) if name != "none"}
    both = (one + two).source
    assert both == ("none" if not known else both)
    assert (both == "mixed") == bool((one + two).measured_uj and (one + two).estimated_uj)


def test_each_request_its_tags_and_the_whole_say_the_same() -> None:
    uses = [EnergyUse(3_000_000, 0, 1_000_000), EnergyUse(0, 7_000_000, 1_000_000), NO_ENERGY]
    serve(uses)
    (line,) = json.loads(said("bill", "--by", "user", "--json", "--grid", "100 g/kWh", "--pue", "1.5"))
    assert line["energy_kwh"] == 10_000_000 / KWH
    assert line["energy_source"] == "mixed"
    assert line["carbon_grams"] == pytest.approx(10_000_000 / KWH * 150)
    table = said("bill", "--by", "user", "--grid", "FRA")
    assert re.search(r"0\.00278 Wh\+~", table), table  # of one of the three nobody knows
    assert "France, 2023" in table
    assert "PUE 1, the devices alone" in table
    assert "upper bound" in table
    said("bill", "--requests", "all.csv")
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    assert [(row["energy_joules"], row["energy_source"]) for row in rows] == [
        ("3.000000", "measured"), ("7.000000", "estimated"), ("", "none"),
    ]  # fmt: skip
    with Book() as book:
        found = bill_of(book)
    assert found.serving is not None
    assert found.serving.total.energy == sum(uses, NO_ENERGY)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(USES, USES, st.integers(0, 3)), max_size=6))
def test_an_engine_s_joules_are_booked_to_the_microjoule(steps: list[tuple[EnergyUse, EnergyUse, int]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    from centime.ledger.served import SCHEMA, engine_hours

    connection.executescript(SCHEMA)
    clock, totals = EngineTime("tiny", None), EngineTotals()
    for busy, idle, hour in steps:
        small = [replace(one, measured_uj=one.measured_uj // 8, estimated_uj=one.estimated_uj // 8, known_ns=1)
                 for one in (busy, idle)]  # fmt: skip
        totals = EngineTotals(0, 0, totals.requests_energy + small[0], totals.idle_energy + small[1])
        clock.read(totals, at("2026-06-15T12:00") + hour * 3600 * SECOND)
        clock.write(connection)
    hours = engine_hours(connection)
    assert sum((one.requests_energy for one in hours), NO_ENERGY) == totals.requests_energy
    assert sum((one.idle_energy for one in hours), NO_ENERGY) == totals.idle_energy


def test_the_machine_s_table_has_the_joules_of_each_part() -> None:
    with Book() as book:
        serving = made("serve", verb="serve", run="tiny", run_path="", energy_uj=3.0 * KWH, energy_source="rapl")
        book.write([serving])
        clock = EngineTime("tiny", None)
        totals = EngineTotals(40, 60, EnergyUse(KWH, 0, 40), EnergyUse(0, KWH, 60))
        clock.read(totals, serving.wall_start_ns)
        connection = connect(book.path)
        clock.write(connection)
        connection.close()
        found = bill_of(book, footprint=Footprint.chosen("56 g/kWh"))
    text = printed(table_of(found))
    assert re.search(r"Unfinished.* 1 kWh ", text), text
    assert re.search(r"Idle.* 1 kWh~", text), text
    assert "56 g CO2e per kWh" in text
    energy = json.loads(json.dumps(found.as_json()))["serving"]["energy"]
    assert (energy["unfinished"]["energy_kwh"], energy["idle"]["energy_source"]) == (1.0, "estimated")
    assert found.as_json()["total"]["carbon_grams"] == pytest.approx(168)


def test_a_ledger_of_before_energy_opens_and_keeps_what_it_has() -> None:
    path = default_book_path()
    serve([EnergyUse(1, 0, 1)])
    with sqlite3.connect(path) as old:
        for table in ("served", "served_full", "tagged", "imported"):
            for column in ("measured_uj", "estimated_uj", "known_ns"):
                old.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for column in ("measured_uj", "estimated_uj"):
            old.execute(f"ALTER TABLE requests DROP COLUMN {column}")
            for part in ("requests", "idle"):
                old.execute(f"ALTER TABLE engine_time DROP COLUMN {part}_{column}")
        for part in ("requests", "idle"):
            old.execute(f"ALTER TABLE engine_time DROP COLUMN {part}_known_ns")
        old.execute("PRAGMA user_version = 8")
    old.close()
    (line,) = json.loads(said("bill", "--by", "user", "--json"))
    assert (line["requests"], line["energy_kwh"], line["energy_source"]) == (1, None, "none")
    serve([EnergyUse(5, 0, 1)], "eve")
    lines = json.loads(said("bill", "--by", "user", "--json"))
    assert {line["user"]: line["energy_kwh"] for line in lines} == {"bob": None, "eve": 5 / KWH}


def test_charges_of_focus_have_grams_where_a_grid_is_stated() -> None:
    with Book() as book:
        book.write([made("pretrain", energy_uj=2.0 * KWH, energy_source="rapl")])
    for words, grams in ((["--grid", "56 g/kWh"], "112.0"), ([], "")):
        said("bill", "--focus", "charges.csv", *words)
        (row,) = csv.DictReader(Path("charges.csv").read_text().splitlines())
        assert row["x_CarbonGrams"] == grams
        assert ("given" in row["x_CarbonSource"]) == bool(grams)


def test_the_grid_is_what_the_person_says_else_their_file_else_nothing() -> None:
    assert grid_intensity() is None
    assert Footprint.chosen().grams(1.0) is None
    home = centime_home()
    home.mkdir(parents=True, exist_ok=True)
    (home / "carbon.toml").write_text('grams_per_kwh = 21.7\ndate = "2025"\nsource = "our contract"\npue = 1.2\n')
    own = grid_intensity()
    assert own is not None
    assert (own.grams_per_kwh, own.pue, own.date, own.source) == (21.7, 1.2, "2025", "our contract")
    assert Footprint(own).grams(10) == pytest.approx(260.4)
    named = grid_intensity("france", 1.1)
    assert named is not None
    assert (named.name, named.pue, named.date) == ("France", 1.1, "2023")
    assert str(own) == "21.7 g CO2e per kWh (given, 2025, our contract); PUE 1.2"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("grid = 'FRX'", "no country of the table"),
        ("grams_per_kwh = -1", "is not between 0"),
        ("grams_per_kwh = true", "is not between 0"),
        ("grams_per_kwh = nan", "is not between 0"),
        ("grid = 'FRA'\ngrams_per_kwh = 5", "give either"),
        ("pue = 1.2", "give either"),
        ("grid = 'FRA'\npue = 0.5", "is not between 1"),
        ("grid = 'FRA'\npues = 2", "unknown key"),
        ("grid = ", "carbon.toml"),
    ],
)
def test_a_file_with_something_wrong_gets_a_sentence(file: str, sentence: str) -> None:
    centime_home().mkdir(parents=True, exist_ok=True)
    (centime_home() / "carbon.toml").write_text(file)
    with pytest.raises(UserError, match=sentence):
        said("bill", "--json")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--grid", "Frence"], "Did you mean 'france'"),
        (["--grid", "99999 g/kWh"], "is not between 0"),
        (["--grid", "FRA", "--pue", "0.9"], "is not between 1"),
        (["--grid", "FRA", "--pue", "nan"], "is not between 1"),
        (["--pue", "1.2"], "goes with a grid"),
    ],
)
def test_a_grid_that_is_none_gets_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        said("bill", *words)


@pytest.mark.parametrize(
    ("grams", "text"), [(0, "0 g"), (2.5e-5, "0.025 mg"), (12.34, "12.3 g"), (3400, "3.4 kg"), (1.2e6, "1.2 t")]
)
def test_masses(grams: float, text: str) -> None:
    assert format_grams(grams) == text
