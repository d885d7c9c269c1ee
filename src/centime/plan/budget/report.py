"""What a budget plan shows: what it buys, what it earns, rent against own, the tornado, the later actuals, sources."""

from __future__ import annotations

from functools import partial

from centime.catalogue.market import MarketFigure
from centime.messages import Writer, said
from centime.plan.budget.finance import break_even_months, break_even_utilisation
from centime.plan.budget.inputs import LABELS
from centime.plan.budget.plan import BudgetPlan
from centime.plan.budget.questions_report import question_sections
from centime.plan.budget.years_report import year_sections
from centime.plan.fleet.uncertain import stated
from centime.plan.show.sections import (
    Figure,
    Figures,
    Format,
    Lever,
    Line,
    LineChart,
    Notes,
    Section,
    StackedBars,
    Table,
    Tornado,
)

SHOWN = 12  # levers of the tornado


def money_of(plan: BudgetPlan, w: Writer) -> Format:
    """-12.3e9 dollars -> '-$12.3 B', or in the currency that is asked for; below a thousand with cents."""
    return lambda dollars: amount(w, dollars * plan.rate, plan.currency)


def amount(w: Writer, value: float, currency: str) -> str:
    """-12.3e9 of a currency -> '-$12.3 B'."""
    return w.money(value, currency, ",.2f") if abs(value) < 1000 else w.short_money(value, currency)


def megawatts(w: Writer, value: float) -> str:
    """2150 -> '2.15 GW'."""
    return w.watts(value * 1e6)


def title(plan: BudgetPlan, w: Writer) -> str:
    """One line: the amount, the chip, the years."""
    return w.say(
        "What {capex} buys in {chip}, over {years:|year|years}",
        capex=money_of(plan, w)(plan.request.capex),
        chip=plan.chip,
        years=plan.request.years,
    )


def sections(plan: BudgetPlan, w: Writer) -> list[Section]:
    """Everything, in order."""
    return [
        _figures(plan, w),
        _capex(plan, w),
        _mixes(plan, w),
        *question_sections(plan, w),
        _investor(plan, w),
        *year_sections(plan, w),
        _depreciation(plan, w),
        _tornado(plan, w),
        *(_actuals(plan, w) if plan.actuals else []),
        _inputs(plan, w),
        Notes(w.say("Assumptions"), [w.say(text) for text in plan.assumptions]),
        _sources(plan, w),
    ]


def _band(plan: BudgetPlan, key: str, w: Writer, form: Format) -> str:
    low, _, high = plan.bands[key]
    return w.say("80 %: {low} to {high}", low=form(low), high=form(high))


def _figures(plan: BudgetPlan, w: Writer) -> Figures:
    base, money, watts = plan.base, money_of(plan, w), partial(megawatts, w)
    own = base.own
    items = [
        Figure(w.say("GPUs"), w.count(base.gpus), _band(plan, "gpus", w, w.count)),
        Figure(
            w.say("All-in, per GPU"),
            money(own.capex_it + own.capex_building),
            w.say("chip, server, network, building"),
        ),
        Figure(w.say("Facility power"), watts(base.megawatts), _band(plan, "megawatts", w, watts)),
        Figure(
            w.say("Tokens generated a day"),
            w.count(base.output_per_day),
            _band(plan, "output_tokens_per_day", w, w.count),
        ),
    ]
    items += [
        Figure(
            w.say("Training runs of {model} a year", model=model),
            w.count(plan.runs_per_year(model)),
            w.say("{hours:count|GPU-hour|GPU-hours} each", hours=hours.mid),
        )
        for model, hours in plan.run_hours.items()
    ]
    items.append(Figure(w.say("NPV"), money(base.npv), _band(plan, "npv_usd", w, money)))
    return Figures(items)


def _capex(plan: BudgetPlan, w: Writer) -> StackedBars:
    base = plan.base
    parts = {
        w.say("chips"): base.capex_chips * plan.rate,
        w.say("server, network, storage"): base.capex_rest_of_it * plan.rate,
        w.say("building and power"): base.capex_building * plan.rate,
    }
    shown = partial(amount, w, currency=plan.currency)
    return StackedBars(w.say("Where the capex goes"), plan.currency, [(plan.chip, parts)], format=shown)


def _mixes(plan: BudgetPlan, w: Writer) -> Table:
    """The frontier between training and serving."""
    head = [w.say("Share of training")]
    head += [w.say("{model}, a year", model=model) for model in plan.run_hours]
    head += [w.say("tokens/day"), w.say("NPV")]
    rows = [
        [
            w.number(share, ".0%"),
            *(w.count(runs[model]) for model in plan.run_hours),
            w.count(tokens),
            money_of(plan, w)(worth),
        ]
        for share, runs, tokens, worth in plan.frontier
    ]
    note = w.say("Training runs, or tokens generated, by the same fleet at the medians.")
    return Table(w.say("Mixes of training and serving"), head, rows, note)


def _investor(plan: BudgetPlan, w: Writer) -> Table:
    base, own = plan.base, plan.base.own
    rent, falls = plan.inputs_used["rent"].mid, plan.inputs_used["rent_falls"].mid
    use = plan.inputs_used["rent_use"].mid
    months = break_even_months(own, rent, use, falls)
    full = break_even_months(own, rent, 1.0, falls)
    money = money_of(plan, w)

    def share(value: float | None) -> str:
        return w.say("none") if value is None else w.number(value, ".1%")

    def years(value: float | None) -> str:
        return w.say("never") if value is None else w.say("{n:.1f|year|years}", n=value)

    def in_months(value: float | None) -> str:
        return w.say("not within ten years") if value is None else w.say("{n:.0f|month|months}", n=value)

    def interval(key: str, form: Format = share) -> str:
        low, _, high = plan.bands[key]
        return f"{form(low)} – {form(high)}"

    found = [
        (w.say("NPV at {rate:.0%}", rate=plan.request.discount), money(base.npv), interval("npv_usd", money)),
        (w.say("IRR"), share(base.irr), interval("irr")),
        (w.say("Payback"), years(base.payback), ""),
        (
            w.say("Load at which the NPV is zero"),
            share(base.break_even_load),
            interval("break_even_load") if "break_even_load" in plan.bands else "",
        ),
        (w.say("NPV if rented out instead"), money(base.npv_rented_out), interval("npv_rented_out_usd", money)),
        (
            w.say("Owner's cost of a GPU-hour"),
            money(own.per_hour()),
            interval("owner_cost_per_gpu_hour_usd", money),
        ),
        (w.say("Rent of a GPU-hour"), money(rent), ""),
        (w.say("Owning beats renting from a use of"), share(break_even_utilisation(own, rent)), ""),
        (w.say("Rent saved pays a GPU used {use:.0%} after", use=use), in_months(months), ""),
        (w.say("Rent saved pays a GPU always used after"), in_months(full), ""),
    ]
    if plan.request.serve:
        listed = plan.inputs_used["token_revenue"].mid
        found += [
            (w.say("Owner's cost of 1M tokens generated"), money(base.cost_per_m_output), ""),
            (w.say("List price of the same, with prompts"), money(listed), ""),
        ]
    return Table(w.say("For the investor"), ["", w.say("at the medians"), w.say("80 % interval")], found)


def _depreciation(plan: BudgetPlan, w: Writer) -> LineChart:
    names = {
        "straight_3": w.say("3 years"),
        "straight_5": w.say("5 years"),
        "straight_6": w.say("6 years"),
        "economic": w.say("by rents to come"),
    }
    lines = [
        Line(names[key], [(float(year), value * plan.rate) for year, value in enumerate(values)])
        for key, values in plan.depreciation().items()
    ]
    return LineChart(
        w.say("Book value of a GPU with its server and network"),
        plan.currency,
        w.say("year"),
        lines,
        format=partial(amount, w, currency=plan.currency),
        format_x="{:.0f}".format,
    )


def _input(w: Writer, value: float) -> str:
    """An input of whatever unit: three digits."""
    return w.plain(value) if value < 1000 else w.count(value)


def _tornado(plan: BudgetPlan, w: Writer) -> Tornado:
    swings = [
        Lever(
            w.say(LABELS[one.name]),
            one.low * plan.rate,
            one.high * plan.rate,
            _input(w, one.low_input),
            _input(w, one.high_input),
        )
        for one in plan.swings[:SHOWN]
    ]
    note = w.say("Each input at its 10th and its 90th percentile, the others at their medians.")
    shown = partial(amount, w, currency=plan.currency)
    middle = plan.base.npv * plan.rate
    return Tornado(w.say("What the NPV depends on most"), plan.currency, middle, swings, shown, note)


def _actuals(plan: BudgetPlan, w: Writer) -> list[Section]:
    """Announced and later figures of the entity, and what each would buy at the same all-in cost."""
    gpus, watts = (x / plan.request.capex for x in (plan.base.gpus, plan.base.megawatts))

    def both(row: MarketFigure, form: Format, each: float = 1.0) -> str:
        return " – ".join(form(v * 1e9 * each) for v in sorted({row.low, row.high}))

    rows = [
        [
            f"{row.id} {w.say(row.metric)}",
            w.say(row.period),
            both(row, money_of(plan, w)),
            both(row, w.count, gpus),
            both(row, partial(megawatts, w), watts),
        ]
        for row in plan.actuals
    ]
    table = Table(
        w.say("{entity}: announced and actual", entity=plan.actuals[0].entity),
        [w.say("figure"), w.say("period"), w.say("capex"), w.say("GPUs"), w.say("power")],
        rows,
        w.say("GPUs and power at this plan's all-in cost, as if all of the capex were for AI, which nobody publishes."),
    )
    lines = [
        w.say("{name}: {source}", name=row.id, source=said("{first}; {second}", first=said(row.note), second=source))
        if row.note
        else w.say("{name}: {source}", name=row.id, source=source)
        for row in plan.actuals
        for source in [said(row.source)]
    ]
    return [table, Notes("", lines)]


def _inputs(plan: BudgetPlan, w: Writer) -> Table:
    """Every input with its interval; the sources follow as notes."""
    rows = [
        [w.say(LABELS[name]), *(_input(w, value) for value in given.three)] for name, given in plan.inputs_used.items()
    ]
    head = ["", w.say("10th percentile"), w.say("median"), w.say("90th percentile")]
    return Table(w.say("Inputs"), head, rows, w.say("USD; rates a year; speeds in tokens/s per GPU."))


def _sources(plan: BudgetPlan, w: Writer) -> Notes:
    """Who says what."""
    lines = [
        w.say("{name}: {source}", name=said(LABELS[name]), source=stated(given.source))
        for name, given in plan.inputs_used.items()
    ]
    return Notes(w.say("Sources"), lines)
