"""Why two training runs differ in cost: the ratio split into causes that add up to the whole, in any order.

cost = GPU-seconds per token x tokens x price. Tokens and price are factors of their own. The seconds are split over
the causes of `explain.causes` by Shapley values of their logarithm: every cause is swapped from A to B in every context
of the others, each time as a request that the planner answers with the best layout it finds, and its effects are
averaged. In logarithms the shares add up exactly; their exponentials are factors that multiply to the ratio; in money
the difference is shared in proportion (the logarithmic mean: (B - A) / ln(B / A) per unit of logarithm, Ang 2004). What
a hand-made layout gains or loses against the searched one is a cause of its own ("layout").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from centime.errors import UserError
from centime.messages import Amount, Said, said
from centime.plan.explain.causes import coalition, describe, differing
from centime.plan.explain.run import ExplainedRun, run_of
from centime.plan.explain.shapley import shapley
from centime.plan.training.case import RunInputs, from_json
from centime.plan.training.searched_step import Searcher, SecondsPerToken

# Whose doing a cause is: the questions that people ask of the whole.
FAMILIES = {
    "model": ("size", "sparsity", "attention", "tokens"),
    "numerics and software": ("precision", "overlap", "layout"),
    "hardware": ("interconnect", "chip", "price"),
    "scale": ("cluster",),
}
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Cause:
    """A cause's share: `log` adds up, `factor` = exp(log) multiplies, `money` adds up to the difference.

    least and greatest: the factors it has in the order that shows it smallest and largest.
    """

    name: str
    before: Said
    after: Said
    log: float
    least: float
    greatest: float
    money: float

    @property
    def factor(self) -> float:
        return math.exp(self.log)


@dataclass(frozen=True)
class Explanation:
    """B's cost over A's, and why."""

    a: ExplainedRun
    b: ExplainedRun
    causes: tuple[Cause, ...]
    evaluations: int
    assumptions: tuple[str, ...]

    verb = "explain"

    @property
    def ratio(self) -> float:
        return self.b.cost / self.a.cost

    def family(self, name: str) -> float:
        """The factor of a family of causes."""
        return math.exp(math.fsum(cause.log for cause in self.causes if cause.name in FAMILIES[name]))

    def to_json(self) -> dict[str, Any]:
        """Keys: docs/plan-economics.md."""
        return {
            "cost_a": self.a.cost,
            "cost_b": self.b.cost,
            "currency": self.a.case.currency,
            "ratio": self.ratio,
            "log_ratio": math.log(self.ratio),
            "gpu_hours_a": self.a.gpu_hours,
            "gpu_hours_b": self.b.gpu_hours,
            "interval": {
                side: {"low": run.cost * run.spread[0], "high": run.cost * run.spread[1], "confidence": 0.8}
                for side, run in (("a", self.a), ("b", self.b))
            },
            "reported_gpu_hours": {"a": self.a.case.reported_gpu_hours, "b": self.b.case.reported_gpu_hours},
            "causes": [
                {
                    "cause": cause.name,
                    "from": str(cause.before),
                    "to": str(cause.after),
                    "log": cause.log,
                    "factor": cause.factor,
                    "least_factor": math.exp(cause.least),
                    "greatest_factor": math.exp(cause.greatest),
                    "money": cause.money,
                }
                for cause in self.causes
            ],
            "families": {name: self.family(name) for name in FAMILIES},
            "evaluations": self.evaluations,
            "assumptions": [str(line) for line in self.assumptions],
            "sources": list(dict.fromkeys((*self.a.case.sources, *self.b.case.sources))),
        }

    def inputs(self) -> dict[str, Any]:
        """Both cases with prices resolved: `from_inputs` explains them again."""
        return {side: replace(run.case, price=run.price).to_json() for side, run in (("a", self.a), ("b", self.b))}


def from_inputs(inputs: dict[str, Any]) -> Explanation:
    """The explanation of two cases as `Explanation.inputs` gives them. Raises UserError naming what is missing."""
    for side in ("a", "b"):
        if not isinstance(inputs.get(side), dict):
            raise UserError(f"inputs of explain: {side!r} is missing; expected the inputs of two runs, 'a' and 'b'.")
    return explain(from_json(inputs["a"], "a"), from_json(inputs["b"], "b"))


def explain(a: RunInputs, b: RunInputs) -> Explanation:
    """Split the ratio of two runs' costs into its causes, with the planner's own steps.

    Raises UserError for currencies that differ, for an unknown model, chip or layout, or a run that fits nowhere.
    """
    if a.currency != b.currency:
        raise UserError(f"A is priced in {a.currency} and B in {b.currency}; give both prices in one currency.")
    searcher = Searcher()
    return decompose(run_of(a, searcher), run_of(b, searcher), searcher)


def decompose(
    a: ExplainedRun, b: ExplainedRun, seconds_per_token: SecondsPerToken, assumptions: tuple[str, ...] = ()
) -> Explanation:
    """The split between two runs, `seconds_per_token` answering what lies between them.

    The coalitions are the same whichever side is called A, so that explain(B, A) has exactly the opposite shares.
    """
    if _order(b) < _order(a):
        return _flipped(decompose(b, a, seconds_per_token, assumptions))
    names = differing(a.at, b.at)
    logs: dict[frozenset[str], float] = {frozenset(): math.log(a.searched), frozenset(names): math.log(b.searched)}

    def value(from_b: frozenset[str]) -> float:
        if from_b not in logs:
            logs[from_b] = math.log(seconds_per_token(coalition(a.at, b.at, from_b)))
        return logs[from_b]

    shares = [(s.cause, s.value, s.least, s.greatest) for s in shapley(names, value)]
    for cause, before, after in (
        ("layout", math.log(a.seconds / a.searched), math.log(b.seconds / b.searched)),
        ("tokens", math.log(a.case.tokens), math.log(b.case.tokens)),
        ("price", math.log(a.price), math.log(b.price)),
    ):
        if abs(after - before) > NEGLIGIBLE:
            shares.append((cause, after - before, after - before, after - before))
    whole = math.log(b.cost / a.cost)
    unit = (b.cost - a.cost) / whole if abs(whole) > NEGLIGIBLE else a.cost
    texts: dict[str, Callable[[ExplainedRun], Said]] = {
        "layout": lambda run: said(
            "{percent:+.1f} % against the searched one", percent=100 * (run.seconds / run.searched - 1)
        ),
        "tokens": lambda run: said("{tokens:count} tokens", tokens=run.case.tokens),
        "price": lambda run: said("{price:money} a chip-hour", price=Amount(run.price, run.case.currency)),
    }

    def text(name: str, run: ExplainedRun) -> Said:
        return texts[name](run) if name in texts else describe(name, run.at)

    causes = tuple(
        Cause(name, text(name, a), text(name, b), log, least, greatest, unit * log)
        for name, log, least, greatest in shares
    )
    return Explanation(a, b, causes, len(logs), assumptions)


def _order(run: ExplainedRun) -> tuple[str, ...]:
    return (repr(run.at), repr(run.case))


def _flipped(found: Explanation) -> Explanation:
    causes = tuple(Cause(c.name, c.after, c.before, -c.log, -c.greatest, -c.least, -c.money) for c in found.causes)
    return Explanation(found.b, found.a, causes, found.evaluations, found.assumptions)
