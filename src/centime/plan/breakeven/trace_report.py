"""What a trace adds to a break-even plan: the fewest chips, replicas by hour, what following the load saves."""

from __future__ import annotations

from centime.messages import Amount, Writer
from centime.plan.breakeven.plan import BreakevenPlan
from centime.plan.breakeven.replay import Replayed
from centime.plan.breakeven.trace import Trace
from centime.plan.serving.money import MILLION
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, Table

DAY, SHOWN_HOURS = 24, 48
ROLES = {"mixed": "mixed", "prefill": "prefill", "decode": "decode"}


def trace_sections(plan: BreakevenPlan, w: Writer) -> list[Section]:
    """Nothing where there is no trace."""
    trace, found = plan.trace, plan.replayed
    if trace is None or found is None:
        return []
    out: list[Section] = [_figures(plan, trace, found, w), _hours(trace, found, w)]
    out += [_by_hour(found, w), _units(found, w)]
    if trace.faults:
        out.append(Notes(w.say("Lines of the trace that were not read"), [w.say(fault) for fault in trace.faults]))
    return out


def _figures(plan: BreakevenPlan, trace: Trace, found: Replayed, w: Writer) -> Figures:
    currency = plan.hour.price.currency
    fixed = plan.day_of(found.gpus)
    following = plan.day_of(found.gpus * (1 - found.saved))
    items = [
        Figure(w.say("Fewest chips"), w.number(found.gpus), found.option.name),
        Figure(w.say("Cost a day, all of them"), w.short_money(fixed, currency)),
        Figure(
            w.say("Cost a day, following the load"),
            w.short_money(following, currency),
            w.say("{saved:.0%} of the GPU-hours saved", saved=found.saved),
        ),
        Figure(
            w.say("Tokens a day"),
            w.count(trace.tokens_per_day),
            w.say("{n:,|request|requests} over {hours:,.1f} hours", n=len(trace.requests), hours=trace.seconds / 3600),
        ),
    ]
    items += [
        Figure(
            w.say("{api}, a day", api=api.name),
            w.short_money(trace.tokens_per_day * api.mid / MILLION, currency),
            w.say("{price:money} a million", price=Amount(api.mid, currency)),
        )
        for api in plan.apis
    ]
    return Figures(items, w.say("The trace"))


def _hours(trace: Trace, found: Replayed, w: Writer) -> LineChart:
    """Steps: an hour has its GPUs from its first minute to its last."""
    points = [point for hour, gpus in enumerate(found.gpus_by_hour) for point in ((hour, gpus), (hour + 0.99, gpus))]
    since = trace.start()
    return LineChart(
        w.say("Chips by hour"),
        w.say("chips"),
        w.say("hours since {start}", start=since) if since else w.say("hours since the first request"),
        [
            Line(w.say("following the load"), [(float(x), float(y)) for x, y in points]),
            Line(w.say("all of them"), [(x, float(found.gpus)) for x, _ in points], faint=True),
        ],
        w.plain,
        w.plain,
        from_zero=True,
        note=w.say("An hour is held by its busiest ten minutes; starting a unit takes minutes, which are not counted."),
    )


def _by_hour(found: Replayed, w: Writer) -> Table:
    """How many units each hour asks for: every hour of two days, of a longer trace the most that ever share an hour."""
    names = [w.say(ROLES[kind.role]) for kind in found.kinds]
    hours = list(zip(found.gpus_by_hour, *(kind.by_hour for kind in found.kinds), strict=True))
    note = ""
    if len(hours) > SHOWN_HOURS:
        note = w.say("The most of all days at that hour after the first request.")
        hours = [max(hours[hour::DAY]) for hour in range(DAY)]
    rows = [[f"{hour}", w.number(gpus), *map(w.number, units)] for hour, (gpus, *units) in enumerate(hours)]
    return Table(w.say("Units by hour"), [w.say("hour"), w.say("chips"), *names], rows, note)


def _units(found: Replayed, w: Writer) -> Table:
    rows = []
    for kind in found.kinds:
        token = "\N{EN DASH}" if kind.role == "prefill" else w.quantity(kind.tpot.p50 * 1e3, ".3g", "ms")
        rows.append(
            [
                w.say(ROLES[kind.role]),
                w.number(kind.gpus),
                w.number(kind.fixed),
                f"{min(kind.by_hour)} – {max(kind.by_hour)}",
                w.quantity(kind.ttft.p99, ".3g", "s"),
                token,
            ]
        )
    head = map(w.say, ("GPUs a unit", "units", "by hour", "first token, p99", "token, p50"))
    note = w.say("In the busiest hour, replayed; of a decode unit the wait for a place.")
    return Table(w.say("Units for the trace"), ["", *head], rows, note)
