"""What the planner's form sends becomes the options of the verb; what makes no plan is a sentence."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping

import pytest

from centime.charts.draw import draw_chart, english
from centime.charts.kinds import Line, LineChart, Table
from centime.errors import UserError
from centime.plan.show.sections import Notes
from centime.serve.pages.plan_json import section_json
from centime.serve.pages.plan_worker import main, planned

SERVE = {"model": "deepseek-v3", "gpu": "h800", "gpus": "64"}
TRAIN = {"model": "deepseek-v3", "tokens": "1T", "gpu": "h800", "gpus": "2048"}
BAD = {"gpus": "x", "precision": "bf17", "price": "x", "date": "x"}


@pytest.mark.parametrize(
    ("verb", "whole", "name", "said"),
    [
        *(("serve", SERVE, name, f"{name} is missing") for name in ("gpu",)),
        *(("train", TRAIN, name, f"{name} is missing") for name in ("tokens", "gpu", "gpus")),
        ("serve", SERVE, "model", "There is no model called '' in the catalogue"),
    ],
)
def test_what_a_plan_cannot_do_without(verb: str, whole: Mapping[str, str], name: str, said: str) -> None:
    for blank in ({**whole, name: "  "}, {key: text for key, text in whole.items() if key != name}):
        with pytest.raises(UserError, match=said):
            planned(verb, blank)


@pytest.mark.parametrize("field", [*BAD, "demand", "isl", "osl", "hit", "ttft", "tpot", "prices"])
def test_every_field_of_the_form_is_read_for_serving(field: str) -> None:
    with pytest.raises(UserError):
        planned("serve", {**SERVE, field: BAD.get(field, "x")})


@pytest.mark.parametrize("field", [*BAD, "tokens", "seq", "global_batch", "layout", "region"])
def test_every_field_of_the_form_is_read_for_training(field: str) -> None:
    with pytest.raises(UserError):
        planned("train", {**TRAIN, field: BAD.get(field, "x")})


def test_a_model_is_one_of_the_catalogue_and_no_folder_here() -> None:
    with pytest.raises(UserError, match="There is no model called '/etc' in the catalogue"):
        planned("serve", {**SERVE, "model": "/etc"})


def test_a_model_may_be_sizes_and_none_of_the_hub() -> None:
    found = planned("serve", {**SERVE, "model": "8B,layers=32"})
    assert found["command"].startswith("centime plan serve --model 8B,layers=32")
    with pytest.raises(UserError, match="There is no model called 'owner/name' in the catalogue"):
        planned("serve", {**SERVE, "model": "owner/name"})


def test_the_worker_says_a_mistake_as_json_and_by_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    niceness: list[int] = []
    monkeypatch.setattr(os, "nice", niceness.append)  # else this process would stay so
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"verb": "train", "fields": {**TRAIN, "gpu": ""}})))
    assert main() == 2
    assert json.loads(capsys.readouterr().out) == {"error": "gpu is missing; a plan needs it."}
    assert niceness == [10]


def test_sections_as_the_page_takes_them() -> None:
    """A chart's picture carries its values for the pointer, and every text in it is escaped."""
    chart = LineChart("A <b> chart", "s", "tokens", [Line("one", [(0, 1), (2, 3)]), Line("other", [(0, 2), (2, 1)])])
    found = section_json(chart, english)
    assert (found["kind"], found["title"], found["note"]) == ("chart", "A <b> chart", "")
    assert found["picture"] == draw_chart(chart, english, script=True) != draw_chart(chart, english, script=False)
    assert "<b>" not in found["picture"]
    assert found["table"]["rows"]
    assert section_json(Notes("Why", ["a", "b"]), english) == {
        "kind": "notes", "title": "Why", "lines": ["a", "b"], "commands": False,
    }  # fmt: skip
    table = section_json(Table("T", ["a"], [["1"]], total=True), english)
    assert (table["kind"], table["head"], table["rows"], table["total"]) == ("table", ["a"], [["1"]], True)
