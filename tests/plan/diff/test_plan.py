"""`centime plan diff`: what is compared, by which causes, against which limit, in which forms."""

from __future__ import annotations

import inspect
import json
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.cli.plan.fleet import fleet
from centime.errors import UserError

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
ON = ["--gpu", "h800", "--gpus", "8", "--price", "$2/h"]
SERVED = ["plan", "serve", "--model", "deepseek-v2-lite", "--price", "$2/h", "--demand", "1B-in/day,1B-out/day"]


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["plan", "diff", *words])
    assert done.exit_code == code, done.output
    return done.stdout


def asked(*words: str, code: int = 0) -> dict:
    return json.loads(run(*words, "--json", code=code))


def refusal(*words: str) -> str:
    done = CliRunner().invoke(app, ["plan", "diff", *words])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


@pytest.fixture
def recipe(tmp_path: Path):
    """Makes the tiny recipe with its lines changed."""

    def make(*changes: tuple[str, str]) -> str:
        text = (RECIPES / "tiny.toml").read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / f"recipe-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text)
        return str(path)

    return make


def causes(found: dict) -> dict[str, float]:
    cost = found["cost"]
    whole = {quantity["name"]: quantity["b"] - quantity["a"] for quantity in found["quantities"]}
    for name in found["causes"][0]["by"]:
        total = sum(cause["by"][name] for cause in found["causes"])
        assert total == pytest.approx(whole[name], rel=1e-6, abs=1e-9), name
    return {cause["cause"]: cause["by"][cost] for cause in found["causes"]}


def test_twice_the_tokens_of_a_recipe_cost_twice_and_say_so(recipe) -> None:
    found = asked(recipe(), recipe(('tokens = "400K"', 'tokens = "800K"')), *ON)
    assert causes(found).keys() == {"tokens"}
    assert 0.5 < found["change"] < 1  # the context extension is as long as it was


def test_a_longer_context_stage_is_a_later_stage(recipe) -> None:
    found = asked(recipe(), recipe(('tokens = "40K"', 'tokens = "80K"')), *ON)
    assert causes(found).keys() == {"later stages"}
    assert found["change"] > 0


def test_another_optimizer_is_a_cause_of_its_own(recipe) -> None:
    found = asked(recipe(), recipe(("[run]", '[optimizer]\nname = "muon"\n\n[run]')), *ON)
    assert causes(found).keys() >= {"optimizer"}


def test_a_larger_model_is_the_model(recipe) -> None:
    found = asked(recipe(("depth = 2", "depth = 8")), recipe(("depth = 2", "depth = 10")), *ON)
    assert causes(found)["size"] > 0


def test_causes_that_no_model_lies_between_are_one(recipe) -> None:
    found = asked(recipe(), recipe(("depth = 2", "depth = 4")), *ON)
    assert causes(found).keys() == {"all together"}
    assert any("not told apart" in note for note in found["notes"])


def test_what_the_recipe_leaves_to_its_tokenizer_is_said(recipe) -> None:
    path = recipe()
    assert any("vocabulary" in note for note in asked(path, path, *ON)["notes"])


def test_the_same_on_both_sides_changes_nothing_and_passes_any_limit() -> None:
    found = asked("v3-h800", "v3-h800", "--fail-over", "0%")
    assert (found["change"], found["causes"], found["over"]) == (0, [], False)


def test_past_the_limit_is_one_and_within_it_nothing() -> None:
    assert asked("v3-h800", "v3-h20", "--fail-over", "50%", code=1)["over"]
    assert not asked("v3-h800", "v3-h20", "--fail-over", "200%")["over"]
    assert not asked("v3-h20", "v3-h800", "--fail-over", "0%")["over"]  # what is cheaper never fails


def test_a_card_is_compared_by_its_inputs_and_days_by_what_shares_them(tmp_path: Path) -> None:
    cards = []
    for gpus in ("512", "1024"):
        cards.append(str(tmp_path / f"{gpus}.json"))
        words = ["plan", "train", "--model", "deepseek-v2-lite", "--tokens", "1T", "--gpu", "h800", "--gpus", gpus]
        assert CliRunner().invoke(app, [*words, "--card", cards[-1]]).exit_code == 0
    found = asked(*cards)
    assert causes(found).keys() == {"cluster"}
    days = next(quantity for quantity in found["quantities"] if quantity["name"] == "Days")
    assert found["causes"][0]["by"]["Days"] == pytest.approx(days["b"] - days["a"])
    assert days["b"] < days["a"]


def test_serving_plans_are_split_by_kinds_of_input(tmp_path: Path) -> None:
    cards = [str(tmp_path / name) for name in ("a.json", "b.json")]
    more = (["--gpu", "h800"], ["--gpu", "h200", "--tpot", "20ms"])
    for path, options in zip(cards, more, strict=True):
        assert CliRunner().invoke(app, [*SERVED, *options, "--card", path]).exit_code == 0
    found = asked(*cards)
    assert found["cost"] == "Cost a day"
    assert causes(found).keys() == {"chip", "limits"}


def test_a_configuration_is_served_where_lengths_are_given(tmp_path: Path) -> None:
    config = json.loads(files("centime.catalogue").joinpath("models/deepseek-v2-lite.json").read_text())
    config["num_hidden_layers"] *= 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    path = str(tmp_path / "config.json")
    found = asked(path, path, *ON, "--isl", "1000", "--osl", "1000")
    assert (found["kind"], found["cost"]) == ("serve", "Cost per million output tokens")
    assert "--tokens" in refusal(path, path, *ON)
    assert "--gpus" in refusal(path, path, "--gpu", "h800", "--isl", "1000")


def test_fleets_are_split_by_table(tmp_path: Path) -> None:
    text = files("centime.catalogue").joinpath("scenarios/startup.toml").read_text()
    other = tmp_path / "scenario.toml"
    months = tomllib.loads(text)["months"]
    other.write_text(text.replace(f"months = {months}", f"months = {months // 2}"))
    found = asked("startup", str(other))
    defaults = {name: option.default for name, option in inspect.signature(fleet).parameters.items()}
    assert all(found["card"]["inputs"]["a"]["inputs"][name] == defaults[name] for name in ("seed", "draws"))
    assert found["kind"] == "fleet"
    assert causes(found).keys() == {"months"}
    assert found["change"] < -0.3


def test_a_card_computes_it_again(tmp_path: Path) -> None:
    card = str(tmp_path / "card.json")
    run("v3-h800", "v3-h100", "--card", card)
    again = CliRunner().invoke(app, ["plan", "rerun", card, "--json"])
    assert json.loads(again.stdout)["same"], again.stdout


def test_markdown_is_tables_that_no_text_breaks(tmp_path: Path) -> None:
    odd = tmp_path / "a|b_*c.toml"
    odd.write_text('model = "centime-d2"\ngpu = "h800"\ngpus = 8\ntokens = "1B"\n')
    shown = run(str(odd), str(odd), "--markdown")
    assert shown.startswith("### ")
    assert "a\\|b\\_\\*c" in shown
    tables = [line for line in run("v3-h800", "v3-h20", "--markdown").splitlines() if line.startswith("|")]
    widths = {line.count("|") - line.count("\\|") for line in tables}
    assert widths == {4, 5, 7}  # headlines, before and after, causes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["v3-h800", "deepseek-day6"], "one kind"),
        (["v3-h800", "no-such"], "no such file"),
        (["v3-h800", "v3-h20", "--fail-over", "5"], "5%"),
        (["v3-h800", "v3-h20", "--fail-over", "-5%"], "at least 0"),
        (["v3-h800", "v3-h20", "--gpu", "h80"], "h80"),
        (["v3-h800", "v3-h20", "--price", "2"], "'2'"),
        (["v3-h800", "v3-h20", "--markdown", "--json"], "--markdown and --json"),
        (["v3-h800", "model=deepseek-v3,gpu=h800,gpus=2048,tokens=1T,price=2 EUR/h"], "one currency"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(words: list[str], says: str) -> None:
    assert says in refusal(*words)


def test_the_card_of_another_verb_is_refused(tmp_path: Path) -> None:
    card = str(tmp_path / "card.json")
    words = ["plan", "compare", "--model", "deepseek-v2-lite", "--chips", "h800", "--gpus", "8"]
    assert CliRunner().invoke(app, [*words, "--card", card]).exit_code == 0
    assert "plan compare" in refusal(card, card)
