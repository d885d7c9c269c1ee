"""The table of the planner's verbs names modules that exist and offer what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from centime.cli.plan import PLANS
from centime.plan.verbs import VERBS, module

ROOT = Path(__file__).resolve().parents[2]


def test_every_plan_of_the_command_line_stands_in_the_table() -> None:
    assert VERBS.keys() == PLANS.keys() - {"rerun"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_planner_a_report_and_derived_formulas(verb: str) -> None:
    found = VERBS[verb]
    assert callable(module(found.planner).from_inputs)
    report = module(found.report)
    assert callable(report.title)
    assert callable(report.sections)
    for place in found.formulas:
        page, _, heading = place.partition("#")
        text = (ROOT / page).read_text(encoding="utf-8").lower().replace(" ", "-")
        assert f"#-{heading}" in text or not heading, place
