"""`centime plan fleet` and `centime plan budget` as a person runs them: figures, JSON, cards, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests import forked

from centime.cli import main


def centime(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.centime("plan", *arguments)


def test_fleet_answers_in_text_and_in_json_and_its_card_gives_it_again(tmp_path: Path) -> None:
    card = tmp_path / "fleet.json"
    command = ("fleet", "--scenario", "deepseek-day6", "--draws", "50", "--seed", "5")
    told = json.loads(centime(*command, "--json", "--card", str(card)).stdout)
    assert told["nodes_mean_start"] == pytest.approx(226.75, rel=0.15)
    assert len(told["months"]) == 24
    again = json.loads(centime("rerun", str(card), "--json").stdout)
    assert "nodes_mean_start" in json.dumps(again)
    shown = centime(*command, "--lang", "fr")
    assert shown.returncode == 0, shown.stderr
    assert "Nœuds" in shown.stdout


def test_budget_shows_what_was_announced_and_what_came() -> None:
    done = centime("budget", "--capex", "80B$", "--of", "microsoft", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["capex_usd"] == 80e9
    assert [row["id"] for row in told["actuals"]][:2] == ["M001", "M002"]
    assert told["runs"]["deepseek-v3"]["per_year"] > told["runs"]["llama-405b"]["per_year"] > 0
    low, _, high = told["interval"]["npv_usd"]
    assert low < told["npv_usd"] < high


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fleet", "--scenario", "deepseek-day7"), "Did you mean 'deepseek-day6'"),
        (("fleet", "--scenario", "startup", "--draws", "0"), "--draws"),
        (("budget", "--capex", "80"), "not an amount of money"),
        (("budget", "--capex", "-80B$"), "not an amount of money"),
        (("budget", "--capex", "1B$", "--gpu", "gb2000"), "Did you mean"),
        (("budget", "--capex", "1B$", "--gpu", "h800"), "--chip-price"),
        (("budget", "--capex", "1B$", "--train-model", "gpt-7"), "with how many tokens"),
        (("budget", "--capex", "1B$", "--of", "Micosoft"), "Did you mean 'Microsoft'"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_exit_code_2(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["centime", "plan", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert any(word in said for word in words.split("|")), said
