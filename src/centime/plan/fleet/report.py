"""What a fleet plan shows: figures, the months as charts with bands, the first day, Jevons, what drives it, sources."""

from __future__ import annotations

from centime.catalogue.hourly_prices import how_old
from centime.messages import Writer
from centime.plan.fleet.demand import DAYS_PER_MONTH
from centime.plan.fleet.plan import Band, FleetPlan
from centime.plan.fleet.scenario import FleetScenario
from centime.plan.fleet.uncertain import stated
from centime.plan.show.sections import BarChart, Figure, Figures, Format, Line, LineChart, Notes, Section, Table

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


def title(plan: FleetPlan, w: Writer) -> str:
    """One line: the scenario and its months."""
    scenario = plan.scenario
    return w.say(
        "Fleet {name}: {first:date} to {last:date}",
        name=scenario.name,
        first=scenario.start,
        last=scenario.month(scenario.months - 1),
    )


def sections(plan: FleetPlan, w: Writer) -> list[Section]:
    """Everything, in order."""
    out: list[Section] = [_figures(plan, w), _day(plan, w)]
    if plan.scenario.months > 1:
        out += _charts(plan, w)
    out += [_months(plan, w), _jevons(plan, w)]
    if plan.drives:
        out.append(_drives(plan, w))
    out.append(Notes(w.say("Assumptions"), [w.say(text) for text in plan.assumptions]))
    ages = how_old([], fixed=[plan.scenario.money.price_date])
    out.append(Notes(w.say("Sources"), [w.say(source) for source in (*plan.sources, *ages)]))
    return out


def _figures(plan: FleetPlan, w: Writer) -> Figures:
    scenario, node = plan.scenario, plan.scenario.serving.gpus_per_node
    series = plan.series
    last = scenario.month(scenario.months - 1)

    def interval(band: Band, index: int, scale: float = 1.0, form: Format = w.count) -> str:
        return w.say("80 %: {low} to {high}", low=form(band.low[index] / scale), high=form(band.high[index] / scale))

    def money(amount: float) -> str:
        return _money(w, amount, scenario)

    items = [
        Figure(
            w.say("Nodes of {n} GPUs, busiest hour, {month:date}", n=node, month=scenario.start),
            w.count(series["gpus_needed"].mid[0] / node),
            interval(series["gpus_needed"], 0, node),
        ),
        Figure(
            w.say("Nodes serving, mean of the day"),
            w.number(series["gpus_serving"].mid[0] / node, ",.2f"),
            interval(series["gpus_serving"], 0, node),
        ),
        Figure(
            w.say("Cost of a day, {month:date}", month=scenario.start),
            money(series["cost"].mid[0] / DAYS_PER_MONTH),
            w.say("prices of {date:date}", date=scenario.money.price_date),
        ),
        Figure(
            w.say("Cost per million tokens generated, {month:date}", month=scenario.start),
            money(series["cost_per_m_output"].mid[0]),
            w.say("all costs, prompts included"),
        ),
    ]
    if scenario.months > 1:
        items += [
            Figure(
                w.say("GPUs needed, {month:date}", month=last),
                w.count(series["gpus_needed"].mid[-1]),
                interval(series["gpus_needed"], -1),
            ),
            Figure(
                w.say("Power, {month:date}", month=last),
                w.watts(series["megawatts"].mid[-1] * 1e6),
                interval(series["megawatts"], -1, 1e-6, w.watts),
            ),
            Figure(
                w.say("Spent over all months"),
                money(plan.totals["cost"][1] + plan.totals["capex"][1]),
                w.say("rent, or power, upkeep and capex"),
            ),
        ]
    return Figures(items)


def _money(w: Writer, value: float, scenario: FleetScenario) -> str:
    """Above ten thousand with K, M, B: '$86.4 M'."""
    form = w.money if abs(value) < 1e4 else w.short_money
    return form(value, scenario.money.currency)


def _day(plan: FleetPlan, w: Writer) -> LineChart:
    node = plan.scenario.serving.gpus_per_node
    points = [(float(hour), gpus / node) for hour, gpus in enumerate(plan.day)]
    return LineChart(
        w.say("Nodes serving through the day, {month:date}", month=plan.scenario.start),
        w.say("nodes"),
        w.say("hour"),
        [Line(w.say("serving"), points)],
        format=lambda nodes: w.number(nodes, ".3g"),
        format_x=lambda hour: f"{int(hour):02d}:00",
        note=w.say(stated(plan.scenario.demand.hourly_source)),
    )


def _charts(plan: FleetPlan, w: Writer) -> list[Section]:
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
            w.say("month"),
            lines,
            format=w.count,
            format_x=lambda x: plan.scenario.month(round(x)),
            log_y=log_y,
            note=w.say("Line: median; band: 10th to 90th percentile."),
        )

    observed = [
        (float(plan.scenario.index(point.month)), point.tokens_per_day.mid)
        for point in plan.scenario.demand.observed
        if 0 <= plan.scenario.index(point.month) < plan.scenario.months
    ]
    tokens = [band("tokens_per_day", w.say("tokens a day"))]
    if observed:
        tokens.append(Line(w.say("published"), observed, dots=True))
    out: list[Section] = [
        chart(w.say("Demand"), w.say("tokens/day"), tokens, log_y=True),
        chart(w.say("GPUs"), "", [band("gpus_needed", w.say("needed")), band("gpus_owned", w.say("in service"))]),
        chart(w.say("Power"), "MW", [band("megawatts", w.say("facility power"))]),
        chart(
            w.say("Money a month"),
            plan.scenario.money.currency,
            [band("cost", w.say("running cost"))]
            + ([band("capex", w.say("capex"))] if plan.scenario.money.mode == "own" else []),
        ),
    ]
    return out


def _months(plan: FleetPlan, w: Writer) -> Table:
    """First, last, and every twelfth month between."""
    last = plan.scenario.months - 1
    shown = sorted({*range(0, last + 1, 12), last})
    keys = ("tokens_per_day", "gpus_needed", "gpus_owned", "shortfall_gpus", "unserved_share", "megawatts", "cost")
    names = {
        "tokens_per_day": w.say("tokens/day"),
        "gpus_needed": w.say("GPUs needed"),
        "gpus_owned": w.say("in service"),
        "shortfall_gpus": w.say("short"),
        "unserved_share": w.say("unserved"),
        "megawatts": "MW",
        "cost": w.say("{currency} a month", currency=plan.scenario.money.currency),
    }

    def cell(key: str, index: int) -> str:
        value = plan.series[key].mid[index]
        return w.number(value, ".1%") if key == "unserved_share" else w.count(value)

    rows = [[plan.scenario.month(index), *(cell(key, index) for key in keys)] for index in shown]
    return Table(
        w.say("By month"),
        [w.say("month"), *(names[key] for key in keys)],
        rows,
        w.say("Medians; the charts above have the bands."),
    )


def _jevons(plan: FleetPlan, w: Writer) -> Table:
    of = plan.jevons

    def three(values: tuple[float, float, float], form: Format = w.count) -> str:
        low, mid, high = map(form, values)
        return f"{mid} ({low} – {high})"

    def share(value: float) -> str:
        return w.number(value, ".0%")

    rows = [
        [w.say("Tokens per GPU at the end, over the start"), three(of.efficiency)],
        [w.say("GPUs with these gains over GPUs without them"), three(of.gpus_ratio)],
        [w.say("Share of the saving that new demand eats"), three(of.rebound, share)],
        [
            w.say("Elasticity from which cheaper means more GPUs"),
            "–" if of.threshold is None else w.number(of.threshold, ".3g"),
        ],
        [w.say("Draws beyond it"), share(of.share_above)],
    ]
    return Table(w.say("Does cheaper mean more GPUs?"), ["", ""], rows, w.say("At a constant price of a GPU-hour."))


def _drives(plan: FleetPlan, w: Writer) -> BarChart:
    bars = [(w.say(INPUTS.get(path, path)), value) for path, value in plan.drives[:DRIVES_SHOWN]]
    return BarChart(
        w.say("What drives the GPUs of the last month"),
        w.say("rank correlation"),
        bars,
        format=lambda v: w.number(v, "+.2f"),
    )
