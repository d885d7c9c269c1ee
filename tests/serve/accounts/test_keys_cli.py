"""`centime keys` as a person meets it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centime.catalogue.tariffs import tariff_for
from centime.cli import app
from centime.errors import UserError
from centime.serve.accounts import Accounts
from centime.serve.accounts.store import Store


def keys(*arguments: str) -> str:
    """What the command prints on standard output. Raises UserError as the verb does."""
    done = CliRunner().invoke(app, ["keys", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_secret_is_shown_once_and_works() -> None:
    assert "There is no key yet" in keys("list")
    secret = keys("add", "alice", "--budget", "$5", "--price-list", "deepseek-v4.1-flash").strip()
    assert secret.startswith("sk-")
    assert secret not in keys("list")
    assert secret not in keys("list", "--json")
    assert Accounts().authenticate(secret).name == "alice"


def test_list_and_top_up_and_revoke() -> None:
    made = json.loads(
        keys("add", "alice", "--budget", "5 EUR", "--per-minute", "60", "--concurrency", "4", "--json",
             "--price-list", "1,2,3/0.5,1,1.5 EUR", "--peak-hours", "09:00-18:00 Mon-Fri")
    )  # fmt: skip
    (key,) = json.loads(keys("list", "--json"))
    assert made["secret"].endswith(key["hint"])
    assert (key["balance"], key["currency"], key["requests_per_minute"], key["concurrency"]) == ("5", "EUR", 60, 4)
    assert "09:00-18:00 UTC Mon-Fri" in key["prices"]
    assert keys("top-up", "alice", "2.50 EUR") == "alice has €7.50.\n"
    keys("revoke", "alice")
    assert json.loads(keys("list", "--json"))[0]["revoked"] is not None
    assert "revoked" in keys("list")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "a b"], "cannot name a key"),
        (["add", ""], "name is empty"),
        (["add", "alice"], "a key 'alice' exists"),
        (["add", "gone"], "a key 'gone' is revoked, and its line on the bill stays its own"),
        (["add", "bob", "--budget", "5"], "not an amount of money"),
        (["add", "bob", "--budget", "$0"], "give more than 0"),
        (["add", "bob", "--budget", "$10M"], "at most 9,000,000 USD"),
        (["add", "bob", "--budget", "5 EUR", "--price-list", "1,2,3"], "give both in one currency"),
        (["add", "bob", "--per-minute", "0"], "lets nothing through"),
        (["add", "bob", "--peak-hours", "01:00-02:00"], "go with --price-list"),
        (["add", "bob", "--price-list", "deepseek-v9"], "no price list of the catalogue"),
        (["top-up", "bob", "$1"], "there is no key 'bob'"),
        (["top-up", "alise", "$1"], "Did you mean 'alice'"),
        (["top-up", "alice", "1 EUR"], "has its balance in USD"),
        (["top-up", "alice", "$8999999.5"], "holds up to 9,000,000 USD"),
        (["top-up", "gone", "$1"], "'gone' is revoked"),
        (["top-up", "free", "$1"], "has no budget"),
        (["revoke", "bob"], "there is no key 'bob'"),
    ],
)
def test_mistakes_get_a_sentence_and_change_nothing(arguments: list[str], said: str) -> None:
    keys("add", "alice", "--budget", "$1")
    keys("add", "gone", "--budget", "$1")
    keys("revoke", "gone")
    keys("add", "free")
    before = keys("list", "--json")
    with pytest.raises(UserError, match=said):
        keys(*arguments)
    assert keys("list", "--json") == before


def test_the_verb_starts_without_torch() -> None:
    program = "import sys; from centime.cli import keys; keys.list_(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("False\n"), done.stderr


def test_a_ledger_that_is_none(centime_home: Path) -> None:
    (centime_home / "ledger.sqlite").write_text("not a database, but long enough to be taken for one" * 10)
    with pytest.raises(UserError, match="cannot be opened"):
        keys("list")


def test_the_tables_are_made_once_by_many(centime_home: Path) -> None:
    program = "from centime.serve.accounts.store import Store; Store().close()"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    Store().close()
    tables = sqlite3.connect(centime_home / "ledger.sqlite").execute(
        "SELECT name FROM sqlite_master WHERE type='table'"
    )
    assert {"keys", "reservations", "served", "intervals"} <= {name for (name,) in tables}


def test_eighty_columns_hold_a_key_without_cutting_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keys("add", "a-customer@example.org", "--budget", "$8999999.5", "--per-minute", "60", "--concurrency", "12")
    keys("add", "b", "--price-list", "0.006,0.30,1.20/0.003,0.15,0.60 EUR")
    shown = keys("list")
    first = next(line for line in shown.splitlines() if "a-customer" in line)
    assert first.split()[0] == "a-customer@example.org"
    assert "server's" in first
    assert "…" not in shown
    assert "running" not in shown  # nothing runs


def test_where_no_server_is_known_a_budget_says_what_it_needs() -> None:
    done = CliRunner().invoke(app, ["keys", "add", "eve", "--budget", "5 EUR"])
    assert "pays only where a server's --price-list is in the same currency" in done.stderr
    Accounts(tariff=tariff_for("1,2,3 EUR")).close()
    assert "pays only" not in CliRunner().invoke(app, ["keys", "add", "eva", "--budget", "5 EUR"]).stderr
    with pytest.raises(UserError, match="servers on this ledger ask prices in EUR"):
        keys("add", "ada", "--budget", "$5")
