"""What money and time are enough for: the answer, the chips that were tried, and the run that is left."""

from __future__ import annotations

from centime.messages import Said, Writer, said
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table
from centime.plan.training import report
from centime.plan.training.means import AffordedPlan, TriedChips, Verdict, costs, spans, verdict
from centime.plan.training.plan import TrainingPlan

FINISHES: dict[Verdict, str] = {
    "within": "yes",
    "likely": "yes, its interval reaches past",
    "unlikely": "no, its interval reaches within",
    "past": "no",
}
SUFFICES: dict[Verdict, str] = {
    "within": "enough for the whole interval of the cost",
    "likely": "enough, but not for the whole interval of the cost",
    "unlikely": "not enough, but for the better end of the interval of the cost",
    "past": "not enough",
}


def title(plan: TrainingPlan | AffordedPlan, w: Writer) -> str:
    """That of the run."""
    return report.title(plan.chosen if isinstance(plan, AffordedPlan) else plan, w)


def sections(plan: TrainingPlan | AffordedPlan, w: Writer) -> list[Section]:
    """What there is and what it is enough for, before the run itself."""
    if not isinstance(plan, AffordedPlan):
        return report.sections(plan, w)
    out: list[Section] = [Figures(_answer(plan, w))]
    tried = [one for one in plan.candidates if one.plan is not None]
    if tried:
        out.append(_table(plan, tried, w))
        finish = [one.plan for one in tried if one.plan is not None and _finishes(plan, one.plan)]
        if any(_overlap(finish[0], other) for other in finish[1:] if other.chip != finish[0].chip):
            out.append(Notes("", [w.say("The intervals of the cheapest overlap: their order is no ranking.")]))
    left = [one for one in plan.candidates if one.plan is None]
    if left:
        lines = [w.say("{chip}: {why}", chip=one.chip, why=said(one.why_not)) for one in left]
        out.append(Notes(w.say("Not planned"), lines))
    return [*out, *report.sections(plan.chosen, w)]


def _answer(plan: AffordedPlan, w: Writer) -> list[Figure]:
    out = []
    money, days, chosen = plan.means.money, plan.means.days, plan.chosen
    if money is not None:
        written = w.money(*money, ",.0f" if money.value >= 1000 else "")
        if plan.bought is not None:
            low, high = plan.bought
            small = w.say("buys {tokens:count} tokens; 80 %: {low:count} to {high:count}",
                          tokens=chosen.request.tokens, low=low, high=high)  # fmt: skip
        else:
            assert plan.by_budget is not None
            small = w.say(SUFFICES[plan.by_budget])
        out.append(Figure(w.say("Budget"), written, small))
    if days is not None:
        assert plan.by_deadline is not None
        line = w.say("{finishes}; {low:,.1f} to {high:,.1f} days", finishes=said(FINISHES[plan.by_deadline]),
                     low=spans(chosen)[0], high=spans(chosen)[2])  # fmt: skip
        out.append(Figure(w.say("Days there are"), w.number(days, ",.4g"), line))
    if plan.candidates:
        cheapest = said("{gpus:,} x {chip}", gpus=chosen.request.gpus, chip=chosen.chip.name)
        label = "Cheapest that finish" if plan.by_deadline in (None, "within", "likely") else "Fastest of all"
        out.append(Figure(w.say(label), w.say(cheapest)))
    return out


def _finishes(plan: AffordedPlan, one: TrainingPlan) -> bool:
    return plan.means.days is None or spans(one)[1] <= plan.means.days


def _overlap(a: TrainingPlan, b: TrainingPlan) -> bool:
    """Whether two costs of a token may be the same."""
    (_, _, high), (low, _, _) = costs(a), costs(b)
    return low / b.request.tokens < high / a.request.tokens


def _table(plan: AffordedPlan, tried: list[TriedChips], w: Writer) -> Table:
    days = plan.means.days
    buys = plan.bought is not None
    head = [w.say("chip"), w.say("GPUs"), w.say("tokens") if buys else w.say("cost"), w.say("80 % interval")]
    head += [w.say("days"), w.say("80 % interval"), w.say("finishes"), w.say("price of an hour")]
    rows = []
    for one in tried:
        assert one.plan is not None
        low, _, high = spans(one.plan)
        rows.append(
            [
                one.plan.chip.name,
                w.number(one.gpus),
                *(_tokens(one.plan, w) if buys else _cost(one.plan, w)),
                w.number(spans(one.plan)[1], ",.1f"),
                f"{w.number(low, ',.1f')} – {w.number(high, ',.1f')}",
                "–" if days is None else w.say(FINISHES[verdict(*spans(one.plan), days)]),
                w.say(_price(one.plan)),
            ]
        )
    return Table(w.say("Chips that were planned"), head, rows)


def _cost(plan: TrainingPlan, w: Writer) -> tuple[str, str]:
    low, middle, high = (w.money(value, plan.price.currency, ",.0f") for value in costs(plan))
    return middle, f"{low} – {high}"


def _tokens(plan: TrainingPlan, w: Writer) -> tuple[str, str]:
    low, middle, high = costs(plan)
    tokens = plan.request.tokens
    return w.count(tokens), f"{w.count(tokens * middle / high)} – {w.count(tokens * middle / low)}"


def _price(plan: TrainingPlan) -> Said:
    price = plan.price
    return said("{price:money}, {kind}, {date:date}", price=price.amount, kind=said(price.kind), date=price.date)
