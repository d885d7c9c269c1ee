"""What a first run takes besides stands apart from the tuned figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.plan.show.sections import Table
from centime.plan.training.plan import plan_training
from centime.plan.training.request import TrainingRequest
from centime.plan.verbs import sections

REQUEST = TrainingRequest("deepseek-v2-lite", 2e12, "h100", 64, price="$2/h", layout="ep=8")


def test_the_tuned_figures_contain_none_of_it() -> None:
    tuned, first = (plan_training(replace(REQUEST, first_run=asked)).to_json() for asked in (False, True))
    rows = first.pop("first_run")
    assert tuned.pop("first_run") == []
    assert tuned == first
    assert [row["factor"] for row in rows] == [1.5, pytest.approx(5.618, rel=1e-3), 10.0]
    for row in rows:
        assert row["gpu_hours"] == pytest.approx(row["factor"] * tuned["gpu_hours"])
        assert row["cost"] == pytest.approx(row["factor"] * tuned["cost"])
        assert row["source"]


def test_it_is_a_table_of_its_own() -> None:
    def tables(asked: bool) -> list[str]:
        plan = plan_training(replace(REQUEST, first_run=asked))
        return [section.title for section in sections(plan, "en") if isinstance(section, Table)]

    assert set(tables(True)) - set(tables(False)) == {"With what a first run takes besides"}
