"""What a budget plan shows: what it buys, what it earns, rent against own, the tornado, the later actuals, sources."""

from __future__ import annotations

from centime.catalogue.market import MarketFigure
from centime.plan.budget.finance import break_even_months, break_even_utilisation
from centime.plan.budget.inputs import LABELS
from centime.plan.budget.plan import BudgetPlan
from centime.plan.show.language import Words, number, words
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
from centime.units import format_count, format_watts

SHOWN = 12  # levers of the tornado


def dollars(value: float) -> str:
    """-12.3e9 -> '-$12.3 B'; below a thousand with cents."""
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.2f}" if abs(value) < 1000 else f"{sign}${format_count(abs(value))}"


def in_language(form: Format, lang: str) -> Format:
    """The same format, as the language writes numbers."""
    return lambda value: number(form(value), lang)


def megawatts(value: float) -> str:
    """2150 -> '2.15 GW'."""
    return format_watts(value * 1e6)


def title(plan: BudgetPlan, lang: str) -> str:
    """One line: the amount, the chip, the years."""
    return words(lang)(
        "What {capex} buys in {chip}, over {years} years",
        capex=number(dollars(plan.request.capex), lang),
        chip=plan.chip,
        years=plan.request.years,
    )


def sections(plan: BudgetPlan, lang: str) -> list[Section]:
    """Everything, in order."""
    say = words(lang)
    out: list[Section] = [_figures(plan, say, lang), _capex(plan, say, lang), _mixes(plan, say, lang)]
    out += [_investor(plan, say, lang), _depreciation(plan, say, lang), _tornado(plan, say, lang)]
    if plan.actuals:
        out += _actuals(plan, say, lang)
    out.append(_inputs(plan, say, lang))
    out.append(Notes(say("Assumptions"), [number(say(text), lang) for text in plan.assumptions]))
    out.append(_sources(plan, say))
    return out


def _band(plan: BudgetPlan, key: str, say: Words, lang: str, form: Format = format_count) -> str:
    low, _, high = plan.bands[key]
    return say("80 %: {low} to {high}", low=number(form(low), lang), high=number(form(high), lang))


def _figures(plan: BudgetPlan, say: Words, lang: str) -> Figures:
    base = plan.base
    own = base.own
    items = [
        Figure(say("GPUs"), number(format_count(base.gpus), lang), _band(plan, "gpus", say, lang)),
        Figure(
            say("All-in, per GPU"),
            number(dollars(own.capex_it + own.capex_building), lang),
            say("chip, server, network, building"),
        ),
        Figure(
            say("Facility power"), number(megawatts(base.megawatts), lang),
            _band(plan, "megawatts", say, lang, megawatts),
        ),
        Figure(
            say("Tokens generated a day"),
            number(format_count(base.output_per_day), lang),
            _band(plan, "output_tokens_per_day", say, lang),
        ),
    ]  # fmt: skip
    for model in plan.run_hours:
        items.append(
            Figure(
                say("Training runs of {model} a year", model=model),
                number(format_count(plan.runs_per_year(model)), lang),
                number(say("{hours} GPU-hours each", hours=format_count(plan.run_hours[model].mid)), lang),
            )
        )
    items.append(Figure(say("NPV"), number(dollars(base.npv), lang), _band(plan, "npv_usd", say, lang, dollars)))
    return Figures(items)


def _capex(plan: BudgetPlan, say: Words, lang: str) -> StackedBars:
    base = plan.base
    parts = {
        say("chips"): base.capex_chips,
        say("server, network, storage"): base.capex_rest_of_it,
        say("building and power"): base.capex_building,
    }
    return StackedBars(say("Where the capex goes"), "USD", [(plan.chip, parts)], format=in_language(dollars, lang))


def _mixes(plan: BudgetPlan, say: Words, lang: str) -> Table:
    """The frontier between training and serving."""
    head = [say("Share of training")]
    head += [say("{model}, a year", model=model) for model in plan.run_hours]
    head += [say("tokens/day"), say("NPV")]
    rows = [
        [
            number(f"{share:.0%}", lang),
            *(number(format_count(runs[model]), lang) for model in plan.run_hours),
            number(format_count(tokens), lang),
            number(dollars(worth), lang),
        ]
        for share, runs, tokens, worth in plan.frontier
    ]
    return Table(
        say("Mixes of training and serving"),
        head,
        rows,
        say("Training runs, or tokens generated, by the same fleet at the medians."),
    )


def _investor(plan: BudgetPlan, say: Words, lang: str) -> Table:
    base, own = plan.base, plan.base.own
    rent, falls = plan.inputs_used["rent"].mid, plan.inputs_used["rent_falls"].mid
    use = plan.inputs_used["rent_use"].mid
    months = break_even_months(own, rent, use, falls)
    full = break_even_months(own, rent, 1.0, falls)

    def percent(value: float | None) -> str:
        return say("none") if value is None else number(f"{value:.1%}", lang)

    def years(value: float | None) -> str:
        return say("never") if value is None else number(say("{n:.1f} years", n=value), lang)

    def in_months(value: float | None) -> str:
        return say("not within ten years") if value is None else number(say("{n:.0f} months", n=value), lang)

    def interval(key: str, money: bool = False) -> str:
        low, _, high = plan.bands[key]
        form = dollars if money else "{:.1%}".format
        return f"{number(form(low), lang)} – {number(form(high), lang)}"

    rows = [
        [
            say("NPV at {rate:.0%}", rate=plan.request.discount),
            number(dollars(base.npv), lang),
            interval("npv_usd", True),
        ],
        [say("IRR"), percent(base.irr), interval("irr")],
        [say("Payback"), years(base.payback), ""],
        [
            say("Load at which the NPV is zero"),
            percent(base.break_even_load),
            interval("break_even_load") if "break_even_load" in plan.bands else "",
        ],
        [
            say("NPV if rented out instead"),
            number(dollars(base.npv_rented_out), lang),
            interval("npv_rented_out_usd", True),
        ],
        [
            say("Owner's cost of a GPU-hour"),
            number(dollars(own.per_hour()), lang),
            interval("owner_cost_per_gpu_hour_usd", True),
        ],
        [say("Rent of a GPU-hour"), number(dollars(rent), lang), ""],
        [say("Owning beats renting from a use of"), percent(break_even_utilisation(own, rent)), ""],
        [say("Rent saved pays a GPU used {use:.0%} after", use=use), in_months(months), ""],
        [say("Rent saved pays a GPU always used after"), in_months(full), ""],
    ]
    if plan.request.serve:
        rows.append([say("Owner's cost of 1M tokens generated"), number(dollars(base.cost_per_m_output), lang), ""])
        rows.append(
            [
                say("List price of the same, with prompts"),
                number(dollars(plan.inputs_used["token_revenue"].mid), lang),
                "",
            ]
        )
    return Table(say("For the investor"), ["", say("at the medians"), say("80 % interval")], rows)


def _depreciation(plan: BudgetPlan, say: Words, lang: str) -> LineChart:
    names = {
        "straight_3": say("3 years"),
        "straight_5": say("5 years"),
        "straight_6": say("6 years"),
        "economic": say("by rents to come"),
    }
    lines = [
        Line(names[key], [(float(year), value) for year, value in enumerate(values)])
        for key, values in plan.depreciation().items()
    ]
    return LineChart(
        say("Book value of a GPU with its server and network"),
        "USD",
        say("year"),
        lines,
        format=in_language(dollars, lang),
        format_x="{:.0f}".format,
    )


def _tornado(plan: BudgetPlan, say: Words, lang: str) -> Tornado:
    swings = [
        Lever(
            say(LABELS[swing.name]),
            swing.low,
            swing.high,
            number(f"{swing.low_input:.3g}" if swing.low_input < 1000 else format_count(swing.low_input), lang),
            number(f"{swing.high_input:.3g}" if swing.high_input < 1000 else format_count(swing.high_input), lang),
        )
        for swing in plan.swings[:SHOWN]
    ]
    return Tornado(
        say("What the NPV depends on most"), "USD", plan.base.npv, swings, format=in_language(dollars, lang),
        note=say("Each input at its 10th and its 90th percentile, the others at their medians."),
    )  # fmt: skip


def _actuals(plan: BudgetPlan, say: Words, lang: str) -> list[Section]:
    """Announced and later figures of the entity, and what each would buy at the same all-in cost."""
    gpus, watts = (x / plan.request.capex for x in (plan.base.gpus, plan.base.megawatts))

    def both(row: MarketFigure, form: Format, each: float) -> str:
        return " – ".join(number(form(v * 1e9 * each), lang) for v in sorted({row.low, row.high}))

    rows = [
        [f"{row.id} {row.metric}", row.period, both(row, dollars, 1.0), both(row, format_count, gpus),
         both(row, megawatts, watts)]
        for row in plan.actuals
    ]  # fmt: skip
    table = Table(
        say("{entity}: announced and actual", entity=plan.actuals[0].entity),
        [say("figure"), say("period"), say("capex"), say("GPUs"), say("power")],
        rows,
        say("GPUs and power at this plan's all-in cost, as if all of the capex were for AI, which nobody publishes."),
    )
    lines = [f"{row.id}: {'; '.join(text for text in (row.note, row.source) if text)}" for row in plan.actuals]
    return [table, Notes("", lines)]


def _inputs(plan: BudgetPlan, say: Words, lang: str) -> Table:
    """Every input with its interval; the sources follow as notes."""

    def text(value: float) -> str:
        return number(f"{value:.3g}" if value < 1000 else format_count(value), lang)

    rows = [[say(LABELS[name]), *(text(value) for value in given.three)] for name, given in plan.inputs_used.items()]
    return Table(
        say("Inputs"), ["", say("10th percentile"), say("median"), say("90th percentile")], rows,
        say("USD; rates a year; speeds in tokens/s per GPU."),
    )  # fmt: skip


def _sources(plan: BudgetPlan, say: Words) -> Notes:
    """Who says what."""
    lines = [
        say("{name}: {source}", name=say(LABELS[name]), source=say(given.source))
        for name, given in plan.inputs_used.items()
    ]
    return Notes(say("Sources"), lines)
