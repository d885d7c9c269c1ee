"""What a change costs, as a plan: two sides compared, their difference by cause, and the limit it is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from centime.errors import UserError
from centime.messages import Amount, said
from centime.plan.diff.causes import Compared
from centime.plan.diff.sides import Side
from centime.plan.diff.swapped import compare_fleets, compare_serving
from centime.plan.diff.training import compare_training
from centime.plan.typed_inputs import typed

COMPARE = {"train": compare_training, "serve": compare_serving, "fleet": compare_fleets}
KINDS = {"train": "a training run", "serve": "a serving plan", "fleet": "a fleet"}
MOVED = 1e-6  # relative: a card's own figure that today's planner does not give again


@dataclass(frozen=True)
class Difference:
    """Two plans of one kind and their difference. limit: by what share B may cost more than A (None: by any)."""

    verb: ClassVar[str] = "diff"
    a: Side
    b: Side
    found: Compared
    limit: float | None

    @property
    def change(self) -> float:
        """B's cost over A's, minus one."""
        return self.found.quantities[0].change or 0.0

    @property
    def over(self) -> bool:
        """Whether B costs more than the limit allows."""
        return self.limit is not None and self.change > self.limit

    @property
    def notes(self) -> list[str]:
        """What the sides and the comparison say beside the figures."""
        cost = self.found.quantities[0]
        out: list[str] = []
        for letter, side, now in (("A", self.a, cost.a), ("B", self.b, cost.b)):
            out += side.notes
            then = None if cost.name == "Cost per million output tokens" else side.said_cost
            if then and abs(now / then - 1) > MOVED:
                out.append(
                    said(
                        "The card of {side} said {then:money} and comes to {now:money} with this centime and its "
                        "catalogue: `centime plan rerun` says what changed.",
                        side=letter,
                        then=Amount(then, cost.unit),
                        now=Amount(now, cost.unit),
                    )
                )
        return list(dict.fromkeys([*out, *self.found.notes]))

    def inputs(self) -> dict[str, Any]:
        """Both sides and the limit: `from_inputs` compares them again."""
        return {"a": asdict(self.a), "b": asdict(self.b), "limit": self.limit}

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan-economics.md#diff."""
        cost = self.found.quantities[0]
        return {
            "kind": self.a.verb,
            "a": self.a.title,
            "b": self.b.title,
            "cost": cost.name,
            "currency": self.found.currency,
            "cost_a": cost.a,
            "cost_b": cost.b,
            "change": self.change,
            "limit": self.limit,
            "over": self.over,
            "quantities": [
                {"name": q.name, "unit": q.unit, "a": q.a, "b": q.b, "change": q.change} for q in self.found.quantities
            ],
            "causes": [
                {"cause": cause.name, "from": str(cause.before), "to": str(cause.after), "by": dict(cause.by)}
                for cause in self.found.causes
            ],
            "notes": [str(line) for line in self.notes],
        }


def diff(a: Side, b: Side, limit: float | None = None) -> Difference:
    """The difference between two plans. Raises UserError where they are of other kinds, or cannot be planned."""
    if a.verb != b.verb:
        raise UserError(
            f"{a.title} is {KINDS[a.verb]} and {b.title} {KINDS[b.verb]}; `plan diff` compares two of one kind."
        )
    return Difference(a, b, COMPARE[a.verb](a.inputs, b.inputs), limit)


def from_inputs(inputs: dict[str, Any]) -> Difference:
    """The difference that a card describes. Raises UserError on values that are none of it."""
    a, b = (typed(Side, inputs[key], f"{key} of diff") for key in ("a", "b"))
    for side in (a, b):
        if side.verb not in COMPARE:
            raise UserError(f"inputs of diff: verb {side.verb!r} is none of {', '.join(COMPARE)}.")
    return diff(a, b, None if inputs["limit"] is None else typed(float, inputs["limit"], "limit of diff"))


def parse_limit(text: str) -> float:
    """'5%' -> 0.05. Raises UserError on anything but a share of at least 0 %."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not text.strip().endswith("%") or not 0 <= share <= 1e6:
        raise UserError(f"--fail-over {text!r} is not a limit; write a share of at least 0 %, such as 5%.")
    return share
