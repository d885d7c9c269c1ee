"""PostgreSQL as the ledger of several gateways: exact, kept over a restart, and what the dead held comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ledger.shared.conftest import Database
from tests.serve.accounts.made import Use, flat
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.ledger.served import EngineTotals
from centime.ledger.shared import LedgerLost
from centime.ledger.tags import RequestTags
from centime.serve.accounts import Accounts, Refused, limits
from centime.serve.accounts.access.audit import latest, noting
from centime.serve.accounts.keys import add_key, list_keys, revoke
from centime.serve.accounts.store import Store


def centime(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_every_verb_works_on_it(shared: Database, tmp_path: Path) -> None:
    Accounts(run="m", tariff=flat()).close()
    secret = centime("keys", "add", "ann", "--budget", "$1", "--in", "acme/research", "--per-minute", "5").strip()
    centime("budgets", "add", "acme", "$0.01", "--webhook", "http://127.0.0.1:9/")
    centime("budgets", "add", "acme/user:*", "$0.005", "--per", "day", "--alert", "10")
    accounts = Accounts(run="m", tariff=flat())
    for user in ("bob", "bob", "eve"):
        ticket = accounts.admit(accounts.authenticate(secret))
        ticket.tag(RequestTags(user=user, model="big"))
        ticket.raise_to(prompt_tokens=100, max_tokens=100)
        ticket.settle(Use(100, 0, 100))
    accounts.machine_time(EngineTotals(10**9, 10**9))
    accounts.tell_alerts()
    with pytest.raises(Refused, match="has"):
        accounts.admit(accounts.authenticate(secret), prompt_tokens=5000, max_tokens=0)
    (key,) = json.loads(centime("keys", "list", "--json"))
    assert (key["balance"], key["held"]) == ("0.9985", "0")
    (acme,) = json.loads(centime("budgets", "show", "--json"))
    assert acme["budgets"][0]["spent"] == "0.0015"
    lines = json.loads(centime("bill", "--by", "team,user", "--json"))
    assert [(line["team"], line["user"], line["price"]) for line in lines] == [
        ("research", "bob", "0.001"), ("research", "eve", "0.0005"),
    ]  # fmt: skip
    assert json.loads(centime("bill", "--json"))["serving"]["total"]["requests"] == 3
    centime("users", "export", "bob", "--out", str(tmp_path / "bob.csv"))
    assert json.loads(centime("users", "erase", "bob", "--json"))["requests"] == 2
    assert {line["user"] for line in json.loads(centime("bill", "--by", "user", "--json"))} == {"(erased)", "eve"}
    centime("keys", "top-up", "ann", "$1")
    centime("budgets", "change", "acme", "$0.02")
    centime("budgets", "remove", "acme/user:*")
    centime("keys", "move", "ann", "-")
    new = centime("keys", "rotate", "ann", "--overlap", "1").strip()
    assert {accounts.authenticate(one).name for one in (secret, new)} == {"ann"}
    centime("keys", "rotate", "ann", "--overlap", "0")
    centime("keys", "expire", "ann", "2020-01-31")
    for ended in (secret, new):
        with pytest.raises(Refused, match="Authentication failed"):
            accounts.authenticate(ended)
    centime("keys", "revoke", "ann")
    assert [(line["action"], line["target"]) for line in latest(accounts.store, 99)][::-1] == [
        ("create key", "ann"), ("create budget", "acme"), ("create budget", "acme/user:*"), ("change key", "ann"),
        ("change budget", "acme"), ("remove budget", "acme/user:*"), ("change key", "ann"), ("rotate key", "ann"),
        ("rotate key", "ann"), ("change key", "ann"), ("revoke key", "ann"),
    ]  # fmt: skip
    accounts.close()


def test_a_change_without_its_line_is_undone(shared: Database) -> None:
    store = Store()
    add_key(store, "ann", budget=None)
    with store.writing() as connection:
        connection.execute("ALTER TABLE audit RENAME TO elsewhere")
    with pytest.raises(LedgerLost), noting(store, "admin", "revoke key", "ann", {}):
        revoke(store, "ann")
    assert [key.revoked_ns for key in list_keys(store)] == [None]


@pytest.mark.slow
def test_four_gateways_cannot_overspend_and_leave_nothing_that_pays(shared: Database) -> None:
    Accounts(run="m", tariff=flat()).close()
    secret = centime("keys", "add", "ann", "--budget", "$0.0401").strip()  # 500 micro-dollars a whole answer
    command = [sys.executable, "-m", "tests.ledger.shared.racer", secret, "30"]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    charged = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    (key,) = json.loads(centime("keys", "list", "--json"))
    left = round(float(key["balance"]) * 10**12)
    assert sum(charged) + left == 40_100 * 10**6
    assert 0 <= left < 203 * 10**6  # a prompt and one token
    assert key["held"] == "0"
    assert sum(1 for _ in Store().read("SELECT 1 FROM reservations")) == 0


def test_what_a_dead_gateway_held_comes_back_by_itself(shared: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = centime("keys", "add", "ann", "--budget", "$0.001", "--price-list", "1,2,3").strip()
    dead = Accounts(run="m")
    dead_ticket = dead.admit(dead.authenticate(secret), prompt_tokens=500, max_tokens=0)  # all of it
    alive = Accounts(run="m")
    with pytest.raises(Refused):
        alive.admit(alive.authenticate(secret), prompt_tokens=1, max_tokens=0)
    monkeypatch.setattr(limits, "LEASE_NS", 0)  # as if its time were over
    ticket = alive.admit(alive.authenticate(secret), prompt_tokens=500, max_tokens=0)
    monkeypatch.undo()
    ticket.settle(Use(500, 0, 0))
    assert dead_ticket is not None


@pytest.mark.slow
def test_a_database_that_goes_and_comes_back_loses_and_doubles_no_charge(shared: Database) -> None:
    secret = centime("keys", "add", "ann", "--budget", "$1", "--price-list", "1,2,3").strip()
    accounts = Accounts(run="m")
    ann = accounts.authenticate(secret)
    before, over = accounts.admit(ann), accounts.admit(ann)
    before.settle(Use(100, 0, 0))
    shared.stop()
    try:
        over.settle(Use(100, 0, 0))  # waits here
        with pytest.raises(Refused) as refused:
            accounts.admit(ann)
        assert refused.value.status == 503
    finally:
        shared.start()
    ends = time.monotonic() + 20
    while True:
        try:
            accounts.admit(ann).settle(Use(100, 0, 0))
            break
        except Refused:
            assert time.monotonic() < ends
            time.sleep(0.1)
    (key,) = json.loads(centime("keys", "list", "--json"))
    assert key["balance"] == "0.9994"
    assert key["requests_running"] == 0
    accounts.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "ledger.sqlite", "postgresql://nobody@127.0.0.1:1/none"])
def test_an_address_that_is_none_gets_a_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("CENTIME_LEDGER", url)
    with pytest.raises(UserError, match=r"give the address of a PostgreSQL|cannot be reached"):
        centime("keys", "list")
