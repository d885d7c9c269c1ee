"""A card: what it cites, which files its figures come from, and what is said when it is computed again."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from centime import __version__
from centime.errors import UserError
from centime.plan.card import _below, figures, hashes, make_card, read_card, write_card
from centime.plan.rerun import Rerun, rerun
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import Demand, ServingRequest
from centime.plan.verbs import VERBS, Plan

ASKED = ServingRequest("centime-d2", "h800", demand=Demand(1e9, 1e9, 0.5), isl=100, price="$2/h", date="2026-01-15")


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan_serving(ASKED)


@pytest.fixture
def card(made: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(make_card(made, ["plan", "serve", "--model", "a b"])))
    return found


def test_a_card_says_what_was_asked_when_and_of_what(made: Plan, card: dict[str, Any]) -> None:
    assert list(card) == ["card", "verb", "command", "inputs", "centime", "date", "sha256", "formulas", "figures"]
    assert (card["card"], card["verb"], card["centime"]) == (1, "serve", __version__)
    assert card["command"] == "centime plan serve --model 'a b'"
    assert card["date"] == str(datetime.date.today())
    assert card["formulas"] == list(VERBS["serve"].formulas)
    assert make_card(made)["command"] == ""
    assert make_card(made, today=datetime.date(2026, 1, 2))["date"] == "2026-01-02"


def test_its_figures_are_the_numbers_at_the_top_and_of_the_interval(made: Plan) -> None:
    told, cited = made.to_json(), figures(made)
    assert cited["gpus_mean"] == told["gpus_mean"]
    assert cited["interval.low"] == told["interval"]["low"]
    numbers = {key for key, value in told.items() if type(value) in (int, float)}
    assert set(cited) == numbers | {f"interval.{end}" for end in ("low", "high")}


class Answered:
    verb = "serve"

    def to_json(self) -> dict[str, Any]:
        total = {"n": 3, "answered": True}
        return {"yes": True, "one": 1, "half": 0.5, "text": "1", "total": total, "interval": [1, 2]}

    def inputs(self) -> dict[str, Any]:
        return {}


def test_true_is_no_figure() -> None:
    assert figures(Answered()) == {"one": 1, "half": 0.5, "total.n": 3}


def test_every_table_and_constant_of_the_planner_and_the_users_own_are_signed(centime_home: Path, root: Path) -> None:
    here = root / "src" / "centime"
    named = hashes({})
    tables = {
        str(path.relative_to(here))
        for room in ("catalogue", "plan")
        for path in (here / room).rglob("*")
        if path.suffix in (".csv", ".json", ".toml") and "french" not in path.parts
    }
    assert set(named) == tables | {"code"}
    (centime_home / "prices.toml").write_text("")
    (centime_home / "chips.csv").write_text("a")
    (centime_home / "notes.txt").write_text("")
    (centime_home / "refreshed").mkdir()
    (centime_home / "refreshed" / "skypilot.csv").write_text("b")
    own = set(hashes({})) - set(named)
    assert own == {f"$CENTIME_HOME/{name}" for name in ("prices.toml", "chips.csv", "refreshed/skypilot.csv")}
    assert hashes({})["code"] == named["code"]


def test_files_that_inputs_name_are_signed(centime_home: Path, tmp_path: Path, card: dict[str, Any]) -> None:
    """A file, a folder with config.json, and what the Hub answered; no name of the catalogue, and nothing absurd."""
    runs, model = tmp_path / "runs.csv", tmp_path / "model"
    kept = centime_home / "configs" / "owner" / "name" / "config.json"
    for folder in (model, kept.parent):
        folder.mkdir(parents=True)
    runs.write_text("id\n")
    (model / "config.json").write_text("{}")
    kept.write_text("{}")
    inputs = {"file": str(runs), "deep": [{"model": str(model)}], "hub": "owner/name", "chips": ("h100", "x" * 9999)}
    named = hashes(inputs)
    assert set(named) - set(hashes({})) == {str(runs), str(model), "owner/name"}
    before = card | {"inputs": card["inputs"] | {"engine": "", "date": card["inputs"]["date"]}, "sha256": named}
    runs.write_text("id\na\n")
    assert hashes(inputs)[str(runs)] != named[str(runs)]
    assert str(runs) in rerun(before).changed  # the file is none of this plan's inputs any more


def test_what_python_caches_is_not_signed(tmp_path: Path) -> None:
    for name in ("a.py", "__pycache__/a.pyc", "room/b.csv", "room/__pycache__/b.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [path for path, _ in _below(tmp_path, "top")] == ["top/a.py", "top/room/b.csv"]


def test_a_card_is_read_alone_or_out_of_a_plans_json(tmp_path: Path, made: Plan, card: dict[str, Any]) -> None:
    alone, inside = tmp_path / "card.json", tmp_path / "plan.json"
    card["inputs"]["model"] = "modèle"
    write_card(alone, card)
    assert alone.read_text(encoding="utf-8") == json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    inside.write_text(json.dumps({**made.to_json(), "card": card}))
    assert read_card(alone) == read_card(inside) == card


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "has no key 'card'"),
        ({"verb": "serve"}, "has no key 'card'"),
        ({"card": 2}, "form 2 of a card is not known; this centime writes and reads form 1"),
        ({"verb": 3}, "key 'verb' of the card is missing or mangled"),
        ({"inputs": []}, "key 'inputs'"),
        ({"figures": None}, "key 'figures'"),
        ({"sha256": ""}, "key 'sha256'"),
        ({"centime": 1}, "key 'centime'"),
        ({"figures": {"a": "1"}}, "figures.a of the card is a text; expected a number"),
        ({"figures": {"a": True}}, "figures.a of the card is"),
        ({"figures": {"a": float("inf")}}, "figures.a of the card|not JSON|Infinity"),
        ({"sha256": {"a": 1}}, "sha256.a of the card is a"),
        ({"verb": "fly"}, "'fly' is not a plan; a card's verb is one of train, serve"),
    ],
)
def test_what_is_no_card_is_a_sentence(content: Any, says: str, tmp_path: Path, card: dict[str, Any]) -> None:
    whole = content if not isinstance(content, dict) or content == {"verb": "serve"} else card | content
    (tmp_path / "card.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match=says):
        read_card(tmp_path / "card.json")


def lines(card: dict[str, Any]) -> list[str]:
    return rerun(card).lines("en")


def test_the_same_card_says_so(card: dict[str, Any]) -> None:
    done = rerun(card)
    assert done.same
    assert done.lines("en") == [f"The same: all {len(card['figures'])} figures of the card came out again."]
    told = done.to_json()
    assert (told["same"], told["moved"], told["changed"], told["figures"]) == (True, [], [], len(card["figures"]))
    card["figures"]["gpus_mean"] *= 1 + 1e-10  # what another mathematics library may differ by
    assert rerun(card).same


def test_what_moved_is_said_with_by_how_much(card: dict[str, Any]) -> None:
    now = card["figures"]["cost_per_day"]
    card["figures"] = {"cost_per_day": now / 2, "gone": 7.0, "peak_to_mean": 0.0}
    done = rerun(card)
    assert [(one.name, one.now, one.change) for one in done.moved] == [
        ("cost_per_day", now, pytest.approx(1.0)),
        ("gone", None, None),
        ("peak_to_mean", pytest.approx(278 / 226.75), None),
    ]
    first, *rest, last = done.lines("en")
    assert first == "Not the same: 3 of 3 figures moved."
    assert rest == [
        f"  cost_per_day: {now / 2:.10g} -> {now:.10g} (+100 %)",
        "  gone: 7 -> no longer stated",
        f"  peak_to_mean: 0 -> {278 / 226.75:.10g}",
    ]
    assert last == "Neither centime nor its catalogue changed: the card's figures were not made by this plan."


def test_what_changed_since_is_named(card: dict[str, Any]) -> None:
    signed = card["sha256"]
    signed |= {"catalogue/chips.csv": "0", "code": "1", "catalogue/gone.csv": "2"}
    signed["catalogue/old_name.csv"] = signed.pop("catalogue/market.csv")  # moved, its content the same
    card["centime"] = "0.0.1"
    done = rerun(card)
    assert done.changed == [
        f"centime 0.0.1 -> {__version__}",
        "catalogue/chips.csv",
        "catalogue/gone.csv",
        "the planner's code",
    ]
    names = ", ".join(done.changed)
    assert done.lines("en")[1:] == [f"Changed since the card, without moving them: {names}."]
    card["figures"]["cost_per_day"] = 1.0
    assert lines(card)[-1] == f"Changed since the card: {names}."


def test_inputs_that_make_no_plan_are_a_sentence(card: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="the card asks for what cannot be planned: "):
        rerun(card | {"inputs": card["inputs"] | {"gpu": "h8000"}})
    with pytest.raises(UserError, match=rf"do not make a plan of 'check'.* centime {__version__}"):
        rerun(card | {"verb": "check", "inputs": {}})
    assert isinstance(rerun(card), Rerun)
