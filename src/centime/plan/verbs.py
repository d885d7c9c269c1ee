"""The sub-verbs of `centime plan`: which module computes the plan of each, which one reports it, and where the docs
derive its figures.

A plan is data: it knows nothing of how it is shown. The modules stand here by name and are imported on use, so that a
verb loads its own planner alone.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from centime.plan.show.language import writer

if TYPE_CHECKING:
    from centime.plan.show.sections import Section


class Plan(Protocol):
    """What every plan offers to the terminal, the page, JSON and the card."""

    @property
    def verb(self) -> str:
        """The sub-verb that makes it: a key of VERBS (a class attribute does)."""

    def to_json(self) -> dict[str, Any]:
        """Documented, stable keys; a card cites the numbers at the top level, and in `interval` and `total`."""

    def inputs(self) -> dict[str, Any]:
        """JSON values that rebuild the plan on another day: nothing is left to a default that may change."""


@dataclass(frozen=True)
class Verb:
    """Where a sub-verb lives, as names of modules within centime.plan.

    planner: the module whose `from_inputs(inputs: dict) -> Plan` rebuilds a plan from a card. report: the module whose
    `title(plan, w: Writer) -> str` and `sections(plan, w: Writer) -> list[Section]` show it.
    formulas: where the docs derive what it computes with.
    """

    planner: str
    report: str
    formulas: tuple[str, ...]


STEP = "docs/plan-formulas.md#step"
VERBS = {
    "train": Verb(
        "training.planner",
        "training.means_report",
        ("docs/plan-formulas.md#micro-batch", STEP, "docs/plan-formulas.md#memory", "docs/plan-formulas.md#goodput"),
    ),
    "serve": Verb("serving.planner", "serving.report", ("docs/plan-serving.md",)),
    "explain": Verb("explain.plan", "explain.report", (STEP, "docs/plan-economics.md#explain")),
    "diff": Verb("diff.plan", "diff.report", ("docs/plan-economics.md#diff",)),
    "lifetime": Verb("lifetime.planner", "lifetime.report", ("docs/plan-economics.md#lifetime",)),
    "fleet": Verb("fleet.plan", "fleet.report", ("docs/plan-fleet.md#fleet",)),
    "budget": Verb("budget.plan", "budget.report", ("docs/plan-fleet.md#budget",)),
    "compare": Verb("compare.plan", "compare.report", (STEP, "docs/plan-serving.md", "docs/plan-economics.md#compare")),
    "frontier": Verb("frontier.planner", "frontier.report", ("docs/plan-frontier.md", "docs/plan-serving.md")),
    "breakeven": Verb("breakeven.planner", "breakeven.report", ("docs/plan-breakeven.md", "docs/plan-serving.md")),
    "check": Verb("check.plan", "check.report", ("docs/plan-formulas.md#intervals",)),
}


def module(name: str) -> Any:
    """The module of a planner or a report, imported now."""
    return importlib.import_module(f"centime.plan.{name}")


def rebuilt(verb: str, inputs: dict[str, Any]) -> Plan:
    """The plan of a verb from the inputs that a card keeps. Raises what the planner raises on inputs of another form:
    UserError, KeyError, TypeError or ValueError."""
    plan: Plan = module(VERBS[verb].planner).from_inputs(inputs)
    return plan


def title(plan: Plan, lang: str) -> str:
    """The plan in one line, in the language (en or fr)."""
    line: str = module(VERBS[plan.verb].report).title(plan, writer(lang))
    return line


def sections(plan: Plan, lang: str) -> list[Section]:
    """What the plan shows, in order, in the language (en or fr)."""
    shown: list[Section] = module(VERBS[plan.verb].report).sections(plan, writer(lang))
    return shown
