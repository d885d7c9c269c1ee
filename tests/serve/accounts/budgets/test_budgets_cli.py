"""`centime budgets` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.serve.accounts.made import Use
from typer.testing import CliRunner

from centime.catalogue.tariffs import tariff_for
from centime.cli import app
from centime.errors import UserError
from centime.serve.accounts import Accounts


def centime(*arguments: str) -> str:
    """What the command prints on standard output. Raises UserError as the verb does."""
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_tree_is_made_shown_changed_and_removed() -> None:
    assert "There is no budget yet" in centime("budgets", "show")
    said = centime("budgets", "add", "acme", "$100", "--zone", "Europe/Paris")
    assert said == "acme may spend $100 a month of Europe/Paris.\n"
    centime("budgets", "add", "acme/research", "$10", "--per", "day", "--soft")
    centime("budgets", "add", "acme/research/user:*", "$1", "--per", "day")
    secret = centime("keys", "add", "ann", "--in", "acme/research").strip()
    centime("budgets", "add", "key:ann", "$5", "--per", "ever", "--alert", "90")
    accounts = Accounts(tariff=tariff_for("1,2,3"))
    accounts.admit(accounts.authenticate(secret)).settle(Use(prompt_tokens=0, output_tokens=10**6))
    shown = centime("budgets", "show")
    assert [line.split()[0] for line in shown.splitlines()[2:] if "$" in line] == [
        *("acme", "research", "user:*", "key:ann"),
    ]
    (acme,) = json.loads(centime("budgets", "show", "--json"))
    (research,) = acme["below"]
    assert (acme["budgets"][0]["spent"], acme["budgets"][0]["left"]) == ("3", "97")
    assert research["budgets"][0]["hard"] is False
    assert {node["name"] for node in research["below"]} == {"acme/research/user:*", "key:ann"}
    assert centime("budgets", "change", "acme", "$200", "--hard") == "acme has $200.00 per month, hard.\n"
    assert centime("budgets", "remove", "key:ann") == "The budget of key:ann per ever is removed.\n"
    centime("keys", "move", "ann", "-")
    assert json.loads(centime("keys", "list", "--json"))[0]["place"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "acme//x", "$1"], "is nobody whom a budget can be for"),
        (["add", "acme/a/b", "$1"], "is nobody"),
        (["add", "user:", "$1"], "is nobody"),
        (["add", "key:", "$1"], "is nobody"),
        (["add", "user:" + "x" * 513, "$1"], "is nobody"),
        (["add", "acme", "5"], "not an amount of money"),
        (["add", "acme", "$0"], "give more than 0"),
        (["add", "acme", "$1", "--per", "week"], "give day, month or ever"),
        (["add", "acme", "$1", "--per", "ever", "--zone", "UTC"], "has no midnight"),
        (["add", "acme", "$1", "--zone", "Mars"], "is no time zone"),
        (["add", "acme", "$1", "--alert", "0"], "are no shares"),
        (["add", "acme", "$1", "--alert", "50,x"], "are no shares"),
        (["add", "acme", "$1", "--webhook", "ftp://x"], "is no address of http"),
        (["add", "there", "$1"], "there has a budget --per month"),
        (["change", "thare"], "Did you mean 'there'"),
        (["change", "there", "€5"], "is in USD and has been spent from"),
        (["remove", "there", "--per", "day"], "it has one --per month"),
        (["remove", "twice"], "twice has budgets --per day and month; say which"),
    ],
)
def test_what_cannot_be_gets_a_sentence_and_changes_nothing(arguments: list[str], said: str) -> None:
    for words in (["there", "$1"], ["twice", "$1", "--per", "day"], ["twice", "$1"]):
        centime("budgets", "add", *words)
    before = centime("budgets", "show", "--json")
    with pytest.raises(UserError, match=said):
        centime("budgets", *arguments)
    assert centime("budgets", "show", "--json") == before


def test_a_place_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    centime("keys", "add", "ann")
    for words in (["add", "ben", "--in", "a/b/c"], ["move", "ann", "a b"]):
        with pytest.raises(UserError, match="is no organisation and no team"):
            centime("keys", *words)
    with pytest.raises(UserError, match=r"there is no key 'nan'\. Did you mean 'ann'"):
        centime("keys", "move", "nan", "acme")
