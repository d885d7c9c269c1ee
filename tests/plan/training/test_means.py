"""`plan train --budget` and `--deadline`: what money and time are enough for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.plan.training.means import Means, verdict
from centime.plan.training.request import TrainingRequest

MODEL = ["plan", "train", "--model", "deepseek-v2-lite"]
H100 = ["--gpu", "h100", "--gpus", "64"]


def asked(*words: str) -> dict:
    done = CliRunner().invoke(app, [*MODEL, *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refusal(*words: str) -> str:
    done = CliRunner().invoke(app, [*MODEL, *words])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_the_tokens_that_money_buys_cost_that_money() -> None:
    found = asked(*H100, "--budget", "$300k", "--price", "$2/h")
    assert found["cost"] == pytest.approx(300e3, rel=1e-6)
    again = asked(*H100, "--tokens", f"{found['tokens']:.0f}", "--price", "$2/h")
    assert again["cost"] == pytest.approx(300e3, rel=1e-6)
    means = found["means"]
    assert means["tokens_low"] < found["tokens"] < means["tokens_high"]
    # what the money buys at the better end of the hours costs, at that end, the money
    assert means["tokens_high"] / found["tokens"] == pytest.approx(300e3 / found["interval"]["cost_low"], rel=1e-6)


def test_a_budget_in_another_currency_is_answered_in_it() -> None:
    found = asked(*H100, "--budget", "300k EUR", "--price", "$2/h")
    assert (found["currency"], found["cost"]) == ("EUR", pytest.approx(300e3, rel=1e-6))
    dollars = asked(*H100, "--budget", "$300k", "--price", "$2/h")
    assert found["tokens"] == pytest.approx(1.146 * dollars["tokens"], rel=1e-6)


def test_later_stages_are_paid_first() -> None:
    plain = asked(*H100, "--budget", "$300k", "--price", "$2/h")
    tuned = asked(*H100, "--budget", "$300k", "--price", "$2/h", "--post-hours", "50K")
    assert tuned["tokens"] == pytest.approx(plain["tokens"] * 2 / 3, rel=1e-6)
    assert tuned["cost"] == pytest.approx(300e3, rel=1e-6)
    assert "post-hours" in refusal(*H100, "--budget", "$300k", "--price", "$2/h", "--post-hours", "200K")
    assert "--budget: $0.00000000100 buy not one token" in refusal(*H100, "--budget", "$0.000000001", "--price", "$2/h")


@pytest.mark.parametrize(
    ("budget", "says"), [("$1M", "within"), ("$50k", "likely"), ("$40k", "unlikely"), ("$10k", "past")]
)
def test_whether_money_is_enough_is_said_with_its_interval(budget: str, says: str) -> None:
    found = asked(*H100, "--tokens", "2T", "--budget", budget, "--price", "$2/h")
    assert found["means"]["by_budget"] == says
    assert found["tokens"] == 2e12


def test_a_deadline_is_a_day_or_a_time_from_the_start() -> None:
    by_day = asked(*H100, "--tokens", "2T", "--date", "2026-01-01", "--deadline", "2026-01-31")
    by_time = asked(*H100, "--tokens", "2T", "--date", "2026-01-01", "--deadline", "30d")
    assert by_day["means"] == by_time["means"]
    assert by_day["means"]["days"] == 30
    assert by_day["means"]["by_deadline"] == verdict(
        *(by_day["interval"][end] / 64 / 24 for end in ("low",)),
        by_day["days"],
        by_day["interval"]["high"] / 64 / 24,
        30,
    )


@pytest.mark.parametrize(
    ("deadline", "days"), [("36h", 1.5), ("30d", 30.0), ("2w", 14.0), ("0.5 d", 0.5), ("2026-01-31", 30.0)]
)
def test_a_deadline_has_the_unit_that_is_written(deadline: str, days: float) -> None:
    run = TrainingRequest("deepseek-v2-lite", 1e12, "h100", 64, date="2026-01-01")
    assert Means(run, deadline=deadline).days == pytest.approx(days)


@pytest.mark.slow
def test_the_cheapest_chips_that_finish_come_first() -> None:
    found = asked("--tokens", "2T", "--deadline", "30d", "--date", "2026-06-01")
    rows = [row for row in found["means"]["candidates"] if not row["why_not"]]
    assert len(rows) > 4
    finishing = [row for row in rows if row["days"] <= 30]
    first = finishing[0]
    assert (first["gpu"], first["gpus"]) == (rows[0]["gpu"], rows[0]["gpus"])
    assert all(first["cost"] <= row["cost"] for row in finishing)
    assert found["days"] == pytest.approx(first["days"])
    assert found["gpus"] == first["gpus"]
    assert any("no price" in row["why_not"] for row in found["means"]["candidates"])


def test_where_no_chip_finishes_the_fastest_comes_first() -> None:
    """Of so many chips as are given, whichever they are; of one kind, however many would do."""
    done = CliRunner().invoke(app, [*MODEL, "--tokens", "2T", "--gpus", "8", "--deadline", "1d"])
    assert done.exit_code == 0, done.output
    assert "Fastest of all" in done.output
    assert "no ranking" not in done.output
    rows = [
        row
        for row in asked("--tokens", "2T", "--gpus", "8", "--deadline", "1d")["means"]["candidates"]
        if not row["why_not"]
    ]
    assert [row["days"] for row in rows] == sorted(row["days"] for row in rows)
    assert all(row["by_deadline"] == "past" for row in rows)
    assert "do not finish" in refusal("--gpu", "h100", "--tokens", "2T", "--deadline", "0.01h")


@pytest.mark.slow
def test_what_may_not_be_bought_is_not_advised() -> None:
    found = asked("--tokens", "2T", "--deadline", "60d", "--date", "2025-06-01", "--region", "cn")
    planned = {row["gpu"] for row in found["means"]["candidates"] if not row["why_not"]}
    assert not planned & {"H100 SXM 80GB", "B200 SXM 180GB", "H200 SXM 141GB"}


def test_where_no_chip_is_on_sale_three_are_named() -> None:
    said = refusal("--tokens", "2T", "--deadline", "30d", "--date", "2010-01-01")
    start, *chips = re.split(r"planned for\. |; ", said)
    assert start == "No chip was found that this run can be "
    assert [chip.rpartition(": ")[2] for chip in chips] == ["not on sale"] * 3


def test_more_chips_are_offered_where_the_interval_reaches_past() -> None:
    at_64 = asked(*H100, "--tokens", "2T")
    days = at_64["days"] * 1.1  # 64 finish, their interval does not
    found = asked("--gpu", "h100", "--tokens", "2T", "--deadline", f"{days:.2f}d")
    first, safe = found["means"]["candidates"][:2]
    assert (first["gpus"], first["by_deadline"]) == (64, "likely")
    assert (safe["gpus"], safe["by_deadline"]) == (128, "within")


def test_a_card_computes_it_again(tmp_path: Path) -> None:
    card = str(tmp_path / "card.json")
    words = [*MODEL, "--gpu", "h800", "--budget", "$100k", "--deadline", "20d", "--card", card]
    assert CliRunner().invoke(app, words).exit_code == 0
    again = CliRunner().invoke(app, ["plan", "rerun", card, "--json"])
    assert json.loads(again.stdout)["same"], again.stdout
    for verb in ("explain", "diff"):
        done = CliRunner().invoke(app, ["plan", verb, card, card])
        assert "--budget" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--tokens, --gpu, --gpus"),
        (["--tokens", "1T", "--gpu", "h100"], "--gpus"),
        (["--deadline", "30d"], "--tokens"),
        (["--budget", "$1M", "--gpu", "h100"], "--gpus"),
        ([*H100, "--budget", "300k"], "--budget '300k'"),
        ([*H100, "--budget", "$0"], "above zero"),
        ([*H100, "--budget", "300k XXX"], "XXX"),
        ([*H100, "--tokens", "1T", "--deadline", "soon"], "--deadline 'soon'"),
        ([*H100, "--tokens", "1T", "--deadline", "2020-01-01"], "not after the start"),
        (["--tokens", "1T", "--deadline", "30d", "--price", "$2/h"], "--gpu"),
        ([*H100, "--budget", "$1", "--price", "$0/h"], "costs nothing"),
    ],
)
def test_what_contradicts_itself_is_a_sentence(words: list[str], says: str) -> None:
    assert says in refusal(*words)
