"""What a fleet plan shows: figures, the months as charts with bands, the first day, Jevons, what drives it, sources."""

from __future__ import annotations

from centime.messages import said
from centime.plan.fleet.plan import DAYS, Band, FleetPlan
from centime.plan.fleet.scenario import Scenario
from centime.plan.show.language import Words, number, words
from centime.plan.show.sections import BarChart, Figure, Figures, Format, Line, LineChart, Notes, Section, Table
from centime.units import format_count, format_money, format_watts

DRIVES_SHOWN = 8
INPUTS = {  # the scenario's numbers by the words a person reads
    "demand.input_tokens_per_day": "Prompt tokens at the start",
    "demand.output_tokens_per_day": "Generated tokens at the start",
    "demand.cache_hit_share": "Cache hits",
    "demand.growth_per_year": "Growth of demand",
    "demand.growth_fades_per_year": "Fading of the growth",
    "serving.input_tokens_per_s_per_gpu": "Prefill speed",
    "serving.output_tokens_per_s_per_gpu": "Decode speed",
    "serving.utilisation_limit": "Utilisation limit",
    "efficiency.software_per_year": "Software gains",
    "elasticity.price_elasticity": "Price elasticity",
    "elasticity.pass_through": "Pass-through to prices",
    "supply.lead_time_months": "Lead time",
    "supply.gpus_per_month": "Cap on GPUs a month",
    "supply.memory_gb_per_month": "Cap on memory a month",
    "failures.failures_per_gpu_year": "Failures",
    "failures.repair_days": "Repair time",
    "failures.scrapped_per_year": "Losses for good",
    "money.gpu_hour": "Price of a GPU-hour",
    "money.price_falls_per_year": "Fall of prices",
    "start_gpus": "GPUs at the start",
}


def title(plan: FleetPlan, lang: str) -> str:
    """One line: the scenario and its months."""
    scenario = plan.scenario
    return words(lang)(
        "Fleet {name}: {first} to {last}",
        name=scenario.name,
        first=scenario.start,
        last=scenario.month(scenario.months - 1),
    )


def sections(plan: FleetPlan, lang: str) -> list[Section]:
    """Everything, in order."""
    say = words(lang)
    out: list[Section] = [_figures(plan, say, lang), _day(plan, say, lang)]
    if plan.scenario.months > 1:
        out += _charts(plan, say, lang)
    out += [_months(plan, say, lang), _jevons(plan, say, lang)]
    if plan.drives:
        out.append(_drives(plan, say, lang))
    out.append(Notes(say("Assumptions"), [_note(text, say, lang) for text in plan.assumptions]))
    out.append(Notes(say("Sources"), [say(source) for source in plan.sources]))
    return out


def _note(text: str, say: Words, lang: str) -> str:
    """An assumption in the language; a source inside it stays as it is written."""
    values = getattr(text, "values", {})
    if "note" not in values:
        return number(say(text), lang)
    return say(said(text.template, **values | {"value": number(say(values["value"]), lang)}))  # type: ignore[attr-defined]


def _figures(plan: FleetPlan, say: Words, lang: str) -> Figures:
    scenario, node = plan.scenario, plan.scenario.serving.gpus_per_node
    series = plan.series
    last = scenario.month(scenario.months - 1)

    def interval(band: Band, index: int, scale: float = 1.0, form: Format = format_count) -> str:
        low, high = (form(v / scale) for v in (band.low[index], band.high[index]))
        return say("80 %: {low} to {high}", low=number(low, lang), high=number(high, lang))

    def money(band: Band, index: int, scale: float) -> str:
        return number(_money(band.mid[index] / scale, scenario), lang)

    items = [
        Figure(
            say("Nodes of {n} GPUs, busiest hour, {month}", n=node, month=scenario.start),
            number(format_count(series["gpus_needed"].mid[0] / node), lang),
            interval(series["gpus_needed"], 0, node),
        ),
        Figure(
            say("Nodes serving, mean of the day"),
            number(f"{series['gpus_serving'].mid[0] / node:,.2f}", lang),
            interval(series["gpus_serving"], 0, node),
        ),
        Figure(
            say("Cost of a day, {month}", month=scenario.start),
            money(series["cost"], 0, DAYS),
            say("prices of {date}", date=scenario.money.price_date),
        ),
        Figure(
            say("Cost per million tokens generated, {month}", month=scenario.start),
            money(series["cost_per_m_output"], 0, 1.0),
            say("all costs, prompts included"),
        ),
    ]
    if scenario.months > 1:
        items += [
            Figure(
                say("GPUs needed, {month}", month=last),
                number(format_count(series["gpus_needed"].mid[-1]), lang),
                interval(series["gpus_needed"], -1),
            ),
            Figure(
                say("Power, {month}", month=last),
                number(format_watts(series["megawatts"].mid[-1] * 1e6), lang),
                interval(series["megawatts"], -1, 1e-6, format_watts),
            ),
            Figure(
                say("Spent over all months"),
                number(_money(plan.totals["cost"][1] + plan.totals["capex"][1], scenario), lang),
                say("rent, or power, upkeep and capex"),
            ),
        ]
    return Figures(items)


def _money(value: float, scenario: Scenario) -> str:
    """Above ten thousand with K, M, B: '$86.4 M'."""
    if abs(value) < 1e4:
        return format_money(value, scenario.money.currency)
    text = format_count(value)
    return f"${text}" if scenario.money.currency == "USD" else f"{text} {scenario.money.currency}"


def _day(plan: FleetPlan, say: Words, lang: str) -> LineChart:
    node = plan.scenario.serving.gpus_per_node
    points = [(float(hour), gpus / node) for hour, gpus in enumerate(plan.day)]
    return LineChart(
        say("Nodes serving through the day, {month}", month=plan.scenario.start),
        say("nodes"),
        say("hour"),
        [Line(say("serving"), points)],
        format=lambda nodes: number(f"{nodes:.3g}", lang),
        format_x=lambda hour: f"{int(hour):02d}:00",
        note=say(plan.scenario.demand.hourly_source),
    )


def _charts(plan: FleetPlan, say: Words, lang: str) -> list[Section]:
    def band(key: str, name: str) -> Line:
        of = plan.series[key]
        months = range(plan.scenario.months)
        return Line(
            name,
            [(float(i), of.mid[i]) for i in months],
            [(float(i), of.low[i], of.high[i]) for i in months],
        )

    def chart(title: str, unit: str, lines: list[Line], log_y: bool = False) -> LineChart:
        return LineChart(
            title,
            unit,
            say("month"),
            lines,
            format=lambda v: number(format_count(v), lang),
            format_x=lambda x: plan.scenario.month(round(x)),
            log_y=log_y,
            note=say("Line: median; band: 10th to 90th percentile."),
        )

    observed = [
        (float(plan.scenario.index(point.month)), point.tokens_per_day.mid)
        for point in plan.scenario.demand.observed
        if 0 <= plan.scenario.index(point.month) < plan.scenario.months
    ]
    tokens = [band("tokens_per_day", say("tokens a day"))]
    if observed:
        tokens.append(Line(say("published"), observed, dots=True))
    out: list[Section] = [
        chart(say("Demand"), say("tokens/day"), tokens, log_y=True),
        chart(say("GPUs"), "", [band("gpus_needed", say("needed")), band("gpus_owned", say("in service"))]),
        chart(say("Power"), "MW", [band("megawatts", say("facility power"))]),
        chart(
            say("Money a month"),
            plan.scenario.money.currency,
            [band("cost", say("running cost"))]
            + ([band("capex", say("capex"))] if plan.scenario.money.mode == "own" else []),
        ),
    ]
    return out


def _months(plan: FleetPlan, say: Words, lang: str) -> Table:
    """First, last, and every twelfth month between."""
    last = plan.scenario.months - 1
    shown = sorted({*range(0, last + 1, 12), last})
    keys = ("tokens_per_day", "gpus_needed", "gpus_owned", "shortfall_gpus", "unserved_share", "megawatts", "cost")
    names = {
        "tokens_per_day": say("tokens/day"),
        "gpus_needed": say("GPUs needed"),
        "gpus_owned": say("in service"),
        "shortfall_gpus": say("short"),
        "unserved_share": say("unserved"),
        "megawatts": "MW",
        "cost": say("{currency} a month", currency=plan.scenario.money.currency),
    }

    def cell(key: str, index: int) -> str:
        value = plan.series[key].mid[index]
        return number(f"{value:.1%}" if key == "unserved_share" else format_count(value), lang)

    rows = [[plan.scenario.month(index), *(cell(key, index) for key in keys)] for index in shown]
    return Table(
        say("By month"),
        [say("month"), *(names[key] for key in keys)],
        rows,
        say("Medians; the charts above have the bands."),
    )


def _jevons(plan: FleetPlan, say: Words, lang: str) -> Table:
    of = plan.jevons

    def three(values: tuple[float, float, float], percent: bool = False) -> str:
        low, mid, high = (number(f"{v:.0%}" if percent else format_count(v), lang) for v in values)
        return f"{mid} ({low} – {high})"

    rows = [
        [say("Tokens per GPU at the end, over the start"), three(of.efficiency)],
        [say("GPUs with these gains over GPUs without them"), three(of.gpus_ratio)],
        [say("Share of the saving that new demand eats"), three(of.rebound, percent=True)],
        [
            say("Elasticity from which cheaper means more GPUs"),
            "–" if of.threshold is None else number(f"{of.threshold:.3g}", lang),
        ],
        [say("Draws beyond it"), number(f"{of.share_above:.0%}", lang)],
    ]
    return Table(say("Does cheaper mean more GPUs?"), ["", ""], rows, say("At a constant price of a GPU-hour."))


def _drives(plan: FleetPlan, say: Words, lang: str) -> BarChart:
    bars = [(say(INPUTS.get(path, path)), value) for path, value in plan.drives[:DRIVES_SHOWN]]
    return BarChart(
        say("What drives the GPUs of the last month"),
        say("rank correlation"),
        bars,
        format=lambda v: number(f"{v:+.2f}", lang),
    )
