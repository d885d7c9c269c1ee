"""What centime wrote at fde1848 opens today: a ledger, a key, a run and a stopped one, prepared data, cards.

fde1848.tar.xz was written by that revision's own commands, in a folder /earlier.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from tests.train.made import train
from typer.testing import CliRunner

import centime
from centime.catalogue.tariffs import tariff_for
from centime.cli import app
from centime.data.shards.shard_set import ShardSet
from centime.ledger.tags import RequestTags
from centime.serve.accounts import Account, Accounts
from centime.serve.engine.request import Usage

ARCHIVE = Path(__file__).with_name("fde1848.tar.xz")


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CENTIME_HOME", str(tmp_path / "home"))
    return tmp_path


def asked(*words: str) -> str:
    """Standard output of `centime WORDS`, which ends well."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_its_ledger_bills_the_same(earlier: Path) -> None:
    then, now = json.loads((earlier / "bill.json").read_text()), json.loads(asked("bill", "--json"))
    assert [line["stage"] for line in now["lines"]] == [line["stage"] for line in then["lines"]]
    for before, after in zip(then["lines"], now["lines"], strict=True):
        assert {key: after[key] for key in before if key != "energy_kwh"} == pytest.approx(
            {key: value for key, value in before.items() if key != "energy_kwh"}
        )


def test_its_keys_are_kept(earlier: Path) -> None:
    [key] = json.loads(asked("keys", "list", "--json"))
    assert key["name"] == "alice"


def test_its_ledger_takes_budgets_and_tags(earlier: Path) -> None:
    asked("keys", "move", "alice", "acme")
    asked("budgets", "add", "acme", "$5")
    assert json.loads(asked("budgets", "show", "--json"))[0]["budgets"][0]["spent"] == "0"
    assert json.loads(asked("bill", "--by", "key,user", "--json")) == []  # sorted from now on
    accounts = Accounts(tariff=tariff_for("1,2,3"))
    account = Account("alice", tariff_for("1,2,3"), None, None, None, place="acme")
    ticket = accounts.admit(account)
    ticket.tag(RequestTags(user="bob"))
    ticket.raise_to(prompt_tokens=0, max_tokens=10)
    ticket.settle(Usage(0, 0, 10, 1, 1, 1, 1))
    accounts.close()
    assert json.loads(asked("budgets", "show", "--json"))[0]["budgets"][0]["spent"] == "0.00003"
    (line,) = json.loads(asked("bill", "--by", "key,user", "--json"))
    assert (line["key"], line["user"]) == ("alice", "bob")


@pytest.mark.parametrize("card", ["card.json", "train-card.json"])
def test_its_cards_are_computed_again(earlier: Path, card: str) -> None:
    """Whether its figures have moved is not asked here: the planner learns."""
    done = CliRunner().invoke(app, ["plan", "rerun", card, "--json"])
    assert done.exit_code in (0, 1)
    assert json.loads(done.stdout)["figures"] > 10


def test_its_model_and_data_are_read(earlier: Path) -> None:
    assert centime.load(earlier / "run" / "model").config.hidden_size == 16
    assert ShardSet(earlier / "data").index.tokens == 4032


@pytest.mark.slow
def test_its_stopped_run_goes_on(earlier: Path) -> None:
    before = len((earlier / "stopped" / "metrics.jsonl").read_text().splitlines())
    assert train(earlier / "stopped" / "recipe.toml", earlier / "stopped", resume=True) == 0
    assert len((earlier / "stopped" / "metrics.jsonl").read_text().splitlines()) > before
    assert centime.load(earlier / "stopped" / "model").config.hidden_size == 16
