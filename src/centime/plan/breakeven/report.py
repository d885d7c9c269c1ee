"""What a break-even plan shows."""

from __future__ import annotations

from collections.abc import Callable

from centime.catalogue.hourly_prices import how_old
from centime.messages import Amount, Writer
from centime.plan.breakeven.api import ApiCost
from centime.plan.breakeven.plan import SHARES, BreakevenPlan, Crossing
from centime.plan.breakeven.trace_report import trace_sections
from centime.plan.serving.money import DAYS_PER_MONTH, MILLION
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, Table

AROUND = 50.0  # times less and more than the crossings: what the charts show
POINTS = 120  # of a line
INPUTS = {"speed": "speed of the fleet", "hour": "price of a GPU-hour", "api": "hours of the API's prices"}


def title(plan: BreakevenPlan, w: Writer) -> str:
    """One line."""
    return w.say("{model}: own {chip} against an API", model=plan.request.model, chip=plan.chip.name)


def sections(plan: BreakevenPlan, w: Writer) -> list[Section]:
    """The answer, the chart, the APIs one by one, the loads, and what it depends on."""
    found: list[Section] = [_figures(plan, w), _per_million(plan, w), _chart(plan, w), *trace_sections(plan, w)]
    found += [_apis(plan, w), _loads(plan, w), _use(plan, w), _depends(plan, w)]
    found.append(Notes(w.say("Assumptions"), [w.say(line) for line in plan.assumptions]))
    lists = [w.say(api.sentence()) for api in plan.apis]
    sources = [w.say(source) for source in plan.sources]
    ages = how_old([plan.hour.price], [api.prices.date for api in plan.apis if api.prices.date])
    found.append(Notes(w.say("Sources"), [*sources, *lists, *map(w.say, (plan.hour.price.sentence(), *ages))]))
    return found


def verdict(plan: BreakevenPlan, crossing: Crossing, w: Writer) -> str:
    """'from 3.20 B tokens a day on', 'never, up to 10.0 T tokens a day', 'always'."""
    if crossing.load is None:
        return w.say("never, up to {most:count} tokens a day", most=plan.request.most)
    if crossing.verdict == "always":
        return w.say("always, from the first request on")
    return w.say("from {load:count} tokens a day on", load=crossing.load)


def _interval(crossing: Crossing, w: Writer) -> str:
    low, high = crossing.low, crossing.high
    if low is None and high is None:
        return w.say("never up to there")
    if high is None:
        return w.say("{low:count} to never", low=low)
    return w.say("{low:count} to {high:count}", low=low, high=high)


def _figures(plan: BreakevenPlan, w: Writer) -> Figures:
    first, currency = plan.crossings[0], plan.hour.price.currency
    at = first.load or plan.request.most
    own = plan.cost(at)
    items = [
        Figure(w.say("Own fleet pays"), verdict(plan, first, w), w.say("against {api}", api=first.api.name)),
        Figure(w.say("Interval of that"), _interval(first, w), w.say("80 %")),
        Figure(
            w.say("GPUs there"),
            w.number(plan.gpus(at)),
            w.say("{layout}; {idle:.0%} of their time idle", layout=plan.option(at).name, idle=plan.idle(at)),
        ),
        Figure(
            w.say("Cost a day there"),
            w.short_money(own, currency),
            w.say(
                "{month:money} a month of it for people",
                month=_amount(plan.request.staff, currency),
            )
            if plan.request.staff
            else "",
        ),
        Figure(
            w.say("Own, all of it used"),
            w.money(plan.per_million(1.0), currency),
            w.say("per million tokens of a large fleet, prompts included"),
        ),
        Figure(
            w.say("API"),
            w.money(first.api.mid, currency),
            w.say("per million tokens of the same mix"),
        ),
    ]
    return Figures(items)


def _amount(value: float, currency: str) -> Amount:
    return Amount(value, currency)


def _range(plan: BreakevenPlan) -> tuple[float, float]:
    """Loads that the chart shows: around every crossing, or up to the most that was looked at."""
    known = [x for c in plan.crossings for x in (c.load, c.low, c.high) if x is not None and x > plan.tokens]
    if not known:
        return plan.request.most / AROUND**2, plan.request.most
    return max(plan.tokens, min(known) / AROUND), min(plan.request.most, max(known) * AROUND)


def _grid(plan: BreakevenPlan, points: int) -> list[float]:
    low, high = _range(plan)
    return [low * (high / low) ** (i / (points - 1)) for i in range(points)]


def _chart(plan: BreakevenPlan, w: Writer) -> LineChart:
    currency, loads = plan.hour.price.currency, _grid(plan, POINTS)
    own = Line(
        w.say("own fleet"),
        [(x, plan.cost(x)) for x in loads],
        [(x, *plan.cost_range(x)) for x in loads],
    )
    lines = [own, *(_line(api, loads) for api in plan.apis)]
    return LineChart(
        w.say("Cost a day over load"),
        currency,
        w.say("tokens a day"),
        lines,
        lambda value: w.short_money(value, currency),
        w.count,
        log_x=True,
        log_y=True,
        marks=_marks(plan),
        note=w.say("Bands: 80 %. The fleet grows by whole units; below one unit it costs what one costs."),
    )


def _per_million(plan: BreakevenPlan, w: Writer) -> LineChart:
    """What a million tokens cost at each load: on the fleet less and less, at an API always the same."""
    currency, loads = plan.hour.price.currency, _grid(plan, POINTS)
    own = Line(
        w.say("own fleet"),
        [(x, plan.cost(x) / x * MILLION) for x in loads],
        [(x, low / x * MILLION, high / x * MILLION) for x in loads for low, high in [plan.cost_range(x)]],
    )
    return LineChart(
        w.say("Cost of a million tokens over load"),
        currency,
        w.say("tokens a day"),
        [own, *(_line(api, loads, lambda load: MILLION / load) for api in plan.apis)],
        lambda value: w.money(value, currency),
        w.count,
        log_x=True,
        log_y=True,
        marks=_marks(plan),
        note=w.say("Prompts and answers counted alike. Bands: 80 %."),
    )


def _marks(plan: BreakevenPlan) -> list[tuple[float, str]]:
    return [(c.load, c.api.name) for c in plan.crossings if c.load is not None and c.load > plan.tokens]


def _line(api: ApiCost, loads: list[float], scale: Callable[[float], float] = lambda load: 1.0) -> Line:
    def at(price: float, load: float) -> float:
        return load * price / MILLION * scale(load)

    points = [(x, at(api.mid, x)) for x in loads]
    if api.low == api.high:
        return Line(api.name, points)
    return Line(api.name, points, [(x, at(api.low, x), at(api.high, x)) for x in loads])


def _apis(plan: BreakevenPlan, w: Writer) -> Table:
    currency = plan.hour.price.currency
    rows = []
    for crossing in plan.crossings:
        share = plan.even_share(crossing.api)
        rows.append(
            [
                crossing.api.name,
                w.date(crossing.api.prices.date) if crossing.api.prices.date else "–",
                w.money(crossing.api.mid, currency),
                verdict(plan, crossing, w),
                "–" if crossing.first is None else w.count(crossing.first),
                _interval(crossing, w),
                w.say("not at any") if share is None else w.percent(share, ",.0f"),
            ]
        )
    head = map(w.say, ("List of", "per M tokens", "own fleet pays", "first at", "80 %", "use to be even"))
    note = w.say(
        "First at: the least load at which it pays, while its units are full enough. Use to be even: of a large "
        "fleet's time, people not counted."
    )
    return Table(w.say("Against each API"), ["", *head], rows, note)


def _loads(plan: BreakevenPlan, w: Writer) -> Table:
    currency = plan.hour.price.currency
    rows = []
    for load in _grid(plan, 9):
        low, high = plan.cost_range(load)
        rows.append(
            [
                w.count(load),
                f"{plan.gpus(load):,}",
                plan.option(load).name,
                w.percent(plan.idle(load), ",.0f"),
                w.short_money(plan.cost(load), currency),
                f"{w.short_money(low, currency)} – {w.short_money(high, currency)}",
                *(w.short_money(load * api.mid / MILLION, currency) for api in plan.apis),
            ]
        )
    head = map(w.say, ("GPUs", "layout", "idle", "own, a day", "80 %"))
    return Table(w.say("Load by load"), [w.say("tokens a day"), *head, *(api.name for api in plan.apis)], rows)


def _use(plan: BreakevenPlan, w: Writer) -> Table:
    currency = plan.hour.price.currency
    rows = [
        [
            w.percent(share, ",.0f"),
            w.money(plan.per_million(share), currency),
            *(w.money(api.mid, currency) for api in plan.apis),
        ]
        for share in SHARES
    ]
    head = [w.say("of the time used"), w.say("own, per M tokens"), *(api.name for api in plan.apis)]
    month = plan.request.staff / DAYS_PER_MONTH
    note = w.say("People come on top: {staff:money} a day.", staff=Amount(month, currency)) if month else ""
    return Table(w.say("By how much of a fleet is used"), head, rows, note)


def _depends(plan: BreakevenPlan, w: Writer) -> Table:
    def load(value: float | None) -> str:
        return w.say("never") if value is None else w.count(value)

    rows = [
        [w.say(INPUTS[name]), crossing.api.name, load(low), load(high)]
        for crossing in plan.crossings
        for name, (low, high) in crossing.ends.items()
        if low != high
    ]
    head = [w.say("with one input at its ends"), w.say("against"), w.say("from, best"), w.say("from, worst")]
    return Table(w.say("What it depends on: tokens a day"), head, rows)
