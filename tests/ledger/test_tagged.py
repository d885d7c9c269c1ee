"""Requests summed by tag, quotas of different values, a user given out and forgotten."""

from __future__ import annotations

import csv
import datetime
import json
import time
from pathlib import Path

import pytest
from tests.serve.accounts.budgets.made import account, budget, counts, key
from tests.serve.accounts.made import Use, flat
from typer.testing import CliRunner

from centime.catalogue.home import centime_home
from centime.cli import app
from centime.errors import UserError
from centime.ledger import Book, tagged
from centime.ledger.book import default_book_path
from centime.ledger.served import MOST, Served
from centime.ledger.tagged import add_tagged, tagged_lines
from centime.ledger.tags import OTHER, RequestTags, tags_of
from centime.serve.accounts import Accounts

ALL = (datetime.date(1970, 1, 1), datetime.date.max)
SUMS = (1500, 1, 0, 1, 1, 7, 0, 5, 1)
ROW = Served(490_000, "m", "", "ann", "1,2,3", "USD", "", 1, 100, 0, 10, 5, 0, 200, 30)


def centime(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def serve(secret: str, tags: RequestTags, tokens: int = 10) -> None:
    accounts = Accounts(run="m", tariff=flat())
    ticket = accounts.admit(account(accounts, secret))
    ticket.tag(tags)
    ticket.raise_to(prompt_tokens=100, max_tokens=tokens)
    ticket.settle(Use(prompt_tokens=100, output_tokens=tokens))
    accounts.close()


def test_who_spent_it_adds_up_whatever_it_is_sorted_by() -> None:
    path = default_book_path()
    ann, ben = key(path, "ann", "acme/research"), key(path, "ben")
    serve(ann, RequestTags(user="bob", model="big", feature="search"), 1000)
    serve(ann, RequestTags(user="eve", model="small", team="liars"), 100)
    serve(ben, RequestTags(user="bob", model="big", team="ops"))
    serve(ben, RequestTags())
    month = time.strftime("%Y-%m", time.gmtime())
    found = {
        by: json.loads(centime("bill", "--by", by, "--month", month, "--json")) for by in ("team,user", "key", "model")
    }
    assert [(line["team"], line["user"], line["price"]) for line in found["team,user"]] == [
        ("research", "bob", "0.0032"), ("research", "eve", "0.0005"), ("", "", "0.00023"), ("ops", "bob", "0.00023"),
    ]  # fmt: skip
    assert {sum(line["requests"] for line in lines) for lines in found.values()} == {4}
    assert {f"{sum(float(line['price']) for line in lines):.6f}" for lines in found.values()} == {"0.004160"}
    shown = centime("bill", "--by", "organisation,user")
    assert "acme" in shown
    assert "(none)" in shown
    assert json.loads(centime("bill", "--by", "day", "--month", "2001-01", "--json")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "teem"], "Did you mean 'team'"),
        (["--by", ""], "names nothing"),
        (["--by", "team,team"], "names one twice"),
        (["--by", "team", "--month", "2026-13"], "is no month"),
        (["--by", "team", "--month", "٢٠٢٦-01"], "is no month"),
        (["--month", "2026-11"], "goes with --by"),
    ],
)
def test_what_cannot_be_sorted_by_gets_a_sentence(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        centime("bill", *words)


def test_more_different_values_than_a_key_may_bring_are_counted_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagged, "MOST_VALUES", 3)
    with Book(path) as book:
        connection = book._connection
        for number in (*range(5), 0, 1, 4):
            add_tagged(connection, ROW, "", RequestTags(user=f"u{number}"))
        found = {line.by[0]: line.requests for line in tagged_lines(connection, ("user",), *ALL)}
    assert found == {"u0": 2, "u1": 2, "u2": 1, OTHER: 3}


def test_sums_past_64_bits_are_added_up_and_one_past_them_stays(path: Path) -> None:
    from dataclasses import replace

    with Book(path) as book:
        connection = book._connection
        for name in ("ann", "ben", "ann"):
            add_tagged(connection, replace(ROW, key=name, miss_pico=MOST - 100, output_pico=0), "", RequestTags())
        (line,) = tagged_lines(connection, ("run",), *ALL)
    assert line.list_pico == MOST + MOST - 100


def test_a_year_is_asked_in_under_a_second(path: Path) -> None:
    """365 days of 150 users of two models: a hundred thousand sums of however many requests."""
    with Book(path) as book:
        connection = book._connection
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO tagged VALUES ({', '.join('?' * 19)})",
            (
                (20_000 + day, "acme", f"t{user % 9}", "k", f"u{user}", f"m{model}", "", "m", "1,2,3", "USD", *SUMS)
                for day in range(365)
                for user in range(150)
                for model in range(2)
            ),
        )  # fmt: skip
        connection.execute("COMMIT")
        began = time.process_time()
        lines = book.tagged(("team", "user"), *ALL)
        assert time.process_time() - began < 1.5  # of CPU; a second on an idle core is far more than it takes
        assert sum(line.requests for line in lines) == 365 * 150 * 2 * 1500


def test_a_user_is_given_out_and_forgotten_and_the_bill_stays(tmp_path: Path) -> None:
    path = default_book_path()
    ann = key(path, "ann", "acme")
    budget(path, "acme/user:*", "$1")
    budget(path, "acme/user:bob", "$1")
    for session in ("one", "two"):
        serve(ann, RequestTags(user="bob", session=session, model="big", other="mail=bob@example.org"))
    serve(ann, RequestTags(user="eve", model="big"))
    before = json.loads(centime("bill", "--by", "key", "--json"))
    assert "2 requests of bob" in centime("users", "export", "bob", "--out", str(tmp_path / "bob.csv"))
    rows = list(csv.DictReader((tmp_path / "bob.csv").open()))
    assert [(row["user"], row["session"], row["price"]) for row in rows] == [
        ("bob", s, "0.00023") for s in ("one", "two")
    ]
    erased = json.loads(centime("users", "erase", "bob", "--json"))
    assert erased == {"user": "bob", "requests": 2, "budgets": ["acme/user:bob"]}
    assert json.loads(centime("bill", "--by", "key", "--json")) == before
    by_user = {line["user"]: line["requests"] for line in json.loads(centime("bill", "--by", "user", "--json"))}
    assert by_user == {"(erased)": 2, "eve": 1}
    with pytest.raises(UserError, match="no request of a user 'bob'"):
        centime("users", "export", "bob", "--out", str(tmp_path / "again.csv"))
    assert not (tmp_path / "again.csv").exists()
    assert {who for _, _, who in counts(path)} == {"", "eve"}
    assert b"bob@example.org" not in b"".join(file.read_bytes() for file in centime_home().iterdir())


@pytest.mark.parametrize(
    ("header", "body", "found"),
    [
        (None, {}, RequestTags()),
        ("", {"user": "bob", "model": "m"}, RequestTags(user="bob", model="m")),
        (None, {"user": "a", "safety_identifier": "b", "user_id": "c"}, RequestTags(user="b")),
        (None, {"metadata": {"user_id": "bob", "session_id": "s", "env": "x"}}, RequestTags("bob", "s", other="env=x")),
        ("user=eve, feature=search", {"user": "bob"}, RequestTags(user="eve", feature="search")),
        ("b=2,a=1", {}, RequestTags(other="a=1,b=2")),
        (None, {"user": 5, "metadata": [1], "model": None}, RequestTags()),
        (None, {"user": "a\nb\0"}, RequestTags(user="a b")),
        (None, {"user": "x" * 600}, RequestTags(user="x" * 512)),
        (None, {"metadata": {"bad name": "x", "model": "theirs"}, "model": "m"}, RequestTags(model="m")),
    ],
)
def test_what_a_request_says_of_itself(header: str | None, body: dict[str, object], found: RequestTags) -> None:
    assert tags_of(header, body) == found


@pytest.mark.parametrize("header", ["user", "=x", "a b=c", ",".join(f"t{i}=1" for i in range(17))])
def test_a_header_that_cannot_be_read_is_said(header: str) -> None:
    with pytest.raises(UserError, match="x-centime-tags holds"):
        tags_of(header, {})
