"""`centime plan explain`, `lifetime` and `compare` from the command line: tables, JSON with its card, bad input."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError

LIFE = [
    "plan",
    "lifetime",
    "--quality-of",
    "llama-2-13b",
    "--quality-tokens",
    "576B",
    "--served-tokens",
    "2T",
    "--dense",
]
VERBS = {
    "explain": ["plan", "explain", "v3-h800", "v3-h100"],
    "lifetime": [*LIFE, "--flops", "--law", "sardana"],
    "compare": ["plan", "compare", "--model", "deepseek-v3", "--chips", "h800,h20", "--layouts", "pp=16,ep=64"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_json_carries_a_card_that_computes_it_again(verb: str, tmp_path):
    shown = CliRunner().invoke(app, [*VERBS[verb], "--json", "--card", str(tmp_path / "card.json")])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["card"]["verb"] == verb
    again = CliRunner().invoke(app, ["plan", "rerun", str(tmp_path / "card.json"), "--json"])
    assert json.loads(again.stdout)["same"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("lang", ["en", "fr"])
def test_tables_in_both_languages(verb: str, lang: str):
    shown = CliRunner().invoke(app, [*VERBS[verb], "--lang", lang])
    assert shown.exit_code == 0, shown.output
    assert ("Sources" if verb != "compare" else "Prix" if lang == "fr" else "Prices") in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "explain", "v3-h80", "v3-h100"], "v3-h800"),
        (["plan", "explain", "v3-h800", "v3-h100", "--lang", "de"], "language"),
        (["plan", "lifetime", "--quality-of", "deepseek-v3", "--served-tokens", "lots"], "not a quantity"),
        (["plan", "compare", "--chips", "h800"], "models: none is given"),
        ([*VERBS["compare"], "--currency", "no-such-thing"], "exchange rate"),
        ([*VERBS["compare"], "--market", "auction"], "--market"),
    ],
)
def test_bad_input_is_a_sentence(arguments: list[str], says: str):
    shown = CliRunner().invoke(app, arguments)
    assert isinstance(shown.exception, UserError)
    assert says in str(shown.exception)
