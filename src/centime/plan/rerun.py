"""A card's plan computed again: the same figures, or which of them moved, by how much, and what changed since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from centime import __version__
from centime.errors import UserError
from centime.plan.card import figures, hashes
from centime.plan.show.language import writer
from centime.plan.verbs import Plan, rebuilt

SAME = 1e-9  # relative: what another machine's mathematics library may differ by


@dataclass(frozen=True)
class Moved:
    """A figure of the card that is another today; `now` is None where the plan no longer states it."""

    name: str
    then: float
    now: float | None

    @property
    def change(self) -> float | None:
        """now / then - 1."""
        return self.now / self.then - 1 if self.then and self.now is not None else None


@dataclass(frozen=True)
class Rerun:
    """The plan again, what moved, and what is no longer what it was."""

    plan: Plan
    moved: list[Moved]
    changed: list[str]  # "centime 0.1.0 -> 0.2.0", "catalogue/chips.csv"
    checked: int  # figures compared

    @property
    def same(self) -> bool:
        """Whether every figure of the card came out again."""
        return not self.moved

    def to_json(self) -> dict[str, Any]:
        """The keys of docs/plan.md#rerun."""
        return {
            "same": self.same,
            "figures": self.checked,
            "moved": [{"name": m.name, "then": m.then, "now": m.now, "change": m.change} for m in self.moved],
            "changed": self.changed,
            "plan": self.plan.to_json(),
        }

    def lines(self, lang: str) -> list[str]:
        """The answer in sentences."""
        w = writer(lang)
        changed = ", ".join(w.say(what) for what in self.changed)
        if self.same:
            out = [w.say("The same: all {n} figures of the card came out again.", n=self.checked)]
            if changed:
                out.append(w.say("Changed since the card, without moving them: {what}.", what=changed))
            return out
        out = [w.say("Not the same: {n} of {all} figures moved.", n=len(self.moved), all=self.checked)]
        for one in self.moved:
            now = w.say("no longer stated") if one.now is None else w.number(one.now, ".10g")
            share = "" if one.change is None else f" ({w.percent(one.change, '+.3g')})"
            out.append(f"  {one.name}: {w.number(one.then, '.10g')} -> {now}{share}")
        if changed:
            out.append(w.say("Changed since the card: {what}.", what=changed))
        else:
            out.append(
                w.say("Neither centime nor its catalogue changed: the card's figures were not made by this plan.")
            )
        return out


def rerun(card: Mapping[str, Any]) -> Rerun:
    """The plan of a card (`centime.plan.card.read_card`) again.

    Raises UserError where its inputs are not understood.
    """
    try:
        plan = rebuilt(card["verb"], dict(card["inputs"]))
    except UserError as error:
        raise UserError(f"the card asks for what cannot be planned: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the inputs of the card do not make a plan of {card['verb']!r} ({error}); it was edited, or written by "
            f"centime {card['centime']} where this is {__version__}: plan again, and write a new card."
        ) from None
    now = figures(plan)
    then = card["figures"]
    moved = [
        Moved(name, value, now.get(name))
        for name, value in then.items()
        if name not in now or not math.isclose(value, now[name], rel_tol=SAME)
    ]
    return Rerun(plan, moved, _changed(card), len(then))


def _changed(card: Mapping[str, Any]) -> list[str]:
    """What the card was made with that differs here."""
    out = [] if card["centime"] == __version__ else [f"centime {card['centime']} -> {__version__}"]
    then, now = card["sha256"], hashes(card["inputs"])
    elsewhere = set(then.values()) & set(now.values())  # a file that was moved has the same content at another path
    names = {"code": "the planner's code"}
    for path in sorted(then.keys() | now.keys()):
        if path in then and path in now:
            changed = then[path] != now[path]
        else:
            changed = then.get(path, now.get(path)) not in elsewhere
        if changed:
            out.append(names.get(path, path))
    return out
