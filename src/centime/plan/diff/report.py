"""A difference as figures, tables and a waterfall: what a comment on a change shows."""

from __future__ import annotations

from centime.messages import Writer
from centime.plan.diff.causes import Quantity
from centime.plan.diff.plan import Difference
from centime.plan.explain.report import LABELS as RUN_LABELS
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table, Waterfall

LABELS = RUN_LABELS | {
    "later stages": "Later stages",
    "optimizer": "Optimizer",
    "model": "Model",
    "load": "Load",
    "limits": "Limits on latency",
    "software": "Software and drafts",
    "all together": "All together",
    "start": "First month",
    "months": "Months planned",
    "start_gpus": "GPUs at the start",
    "demand": "Demand",
    "serving": "What serves",
    "efficiency": "Efficiency",
    "generations": "Later generations of chips",
    "elasticity": "Elasticity",
    "supply": "Supply",
    "failures": "Failures",
    "power": "Power",
    "money": "Prices",
    "seed": "Seed of the draws",
    "draws": "Futures drawn",
}


def title(found: Difference, w: Writer) -> str:
    """One line: what it comes to."""
    return w.say("From {a} to {b}: {change}", a=found.a.title, b=found.b.title, change=_change(found.change, w))


def sections(found: Difference, w: Writer) -> list[Section]:
    """Headlines, every quantity before and after, the causes, the waterfall in money, notes."""
    cost = found.found.quantities[0]
    names = list(found.found.causes[0].by) if found.found.causes else []
    units = {q.name: q for q in found.found.quantities}
    rows = [
        [w.say(LABELS[cause.name]), w.say(cause.before), w.say(cause.after)]
        + [_signed(units[name], cause.by[name], w) for name in names]
        for cause in found.found.causes
    ]
    rows.append([w.say("Whole"), "", ""] + [_signed(units[name], units[name].b - units[name].a, w) for name in names])
    out: list[Section] = [
        Figures(
            [
                Figure("A", _written(cost, cost.a, w), w.say(cost.name)),
                Figure("B", _written(cost, cost.b, w), w.say(cost.name)),
                Figure(w.say("Change"), _change(found.change, w), _verdict(found, w)),
            ]
        ),
        Table(
            w.say("Before and after"),
            ["", "A", "B", w.say("change")],
            [
                [
                    _named(q, w),
                    _written(q, q.a, w),
                    _written(q, q.b, w),
                    "–" if q.change is None else _change(q.change, w),
                ]
                for q in found.found.quantities
            ],
        ),
    ]
    if found.found.causes:
        out += [
            Table(
                w.say("Causes, from A to B"),
                [w.say("Cause"), "A", "B", *(w.say(name) for name in names)],
                rows,
                w.say(
                    "Changes add up to the whole: Shapley values, each cause swapped in every context of the others; "
                    "of more than six causes, in one order and in its reverse."
                ),
                total=True,
            ),
            Waterfall(
                w.say("From A's cost to B's"),
                found.found.currency,
                ("A", cost.a),
                [
                    (w.say(LABELS[cause.name]), cause.by[cost.name])
                    for cause in sorted(found.found.causes, key=lambda c: c.by[cost.name] < 0)
                ],
                ("B", cost.b),
                lambda value: _written(cost, value, w),
                w.say("Whiskers: 80 %.") if cost.intervals else "",
                dict(zip("AB", cost.intervals, strict=True)) if cost.intervals else {},
            ),
        ]
    else:
        out.append(Notes("", [w.say("Nothing that a plan depends on differs.")]))
    if found.notes:
        out.append(Notes(w.say("Notes"), [w.say(line) for line in found.notes]))
    return out


def _verdict(found: Difference, w: Writer) -> str:
    if found.limit is None:
        return ""
    line = "past the limit of {limit}" if found.over else "within the limit of {limit}"
    return w.say(line, limit=w.percent(found.limit, "+.3g"))


def _change(share: float, w: Writer) -> str:
    return w.percent(share, "+.2f") if abs(share) < 10 else f"x {w.number(1 + share, '.3g')}"


def _named(of: Quantity, w: Writer) -> str:
    return f"{w.say(of.name)}, {w.unit(of.unit)}" if of.unit and not _is_money(of) else w.say(of.name)


def _is_money(of: Quantity) -> bool:
    return len(of.unit) == 3 and of.unit.isupper() and of.unit.isalpha()


def _written(of: Quantity, value: float, w: Writer) -> str:
    """Money whole from a thousand on, in millions from a million on with the digits that a change is seen in."""
    if not _is_money(of):
        return w.plain(value)
    if max(abs(of.a), abs(of.b)) >= 1e6:
        return w.money(value / 1e6, of.unit, ",.3f", "M")
    return w.money(value, of.unit, ",.0f" if max(abs(of.a), abs(of.b)) >= 1000 else "")


def _signed(of: Quantity, value: float, w: Writer) -> str:
    if abs(value) <= 1e-9 * max(abs(of.a), abs(of.b)):
        return "–"
    text = _written(of, value, w)
    return f"+{text}" if value > 0 else text
