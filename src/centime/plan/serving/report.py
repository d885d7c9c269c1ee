"""What a serving plan shows."""

from __future__ import annotations

from centime.catalogue.hourly_prices import how_old
from centime.messages import Amount, Writer
from centime.plan.counts.architecture import count_architecture
from centime.plan.serving.choice import Mixed
from centime.plan.serving.engine import EngineModel, decoding, steady
from centime.plan.serving.plan import PARTS, ServingPlan, layout_of, parts, percentiles, slower, steps, units
from centime.plan.show.parameters import parameters_figure
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, StackedBars, Table


def title(plan: ServingPlan, w: Writer) -> str:
    """One line."""
    return w.say("Serving {model} on {chip}", model=plan.request.model, chip=plan.chip.name)


def sections(plan: ServingPlan, w: Writer) -> list[Section]:
    """Everything, in order."""
    found: list[Section] = [_figures(plan, w), _units(plan, w), *_layouts(plan, w), _steps(plan, w)]
    found += [_money(plan, w), _latency(plan, w), _frontier(plan, w)]
    found.append(Notes(w.say("Assumptions"), [w.say(text) for text in plan.assumptions]))
    lists = [plan.prices.date] if plan.prices and plan.prices.date else []
    sources = (*plan.sources, plan.price.sentence(), *how_old([plan.price], lists))
    found.append(Notes(w.say("Sources"), [w.say(source) for source in sources]))
    return found


def _figures(plan: ServingPlan, w: Writer) -> Figures:
    money, fleet, currency = plan.money, plan.fleet, plan.price.currency
    low, high = (plan.gpus_mean / factor for factor in (plan.high_factor, plan.low_factor))
    hour = w.say("{price:money} per device-hour, {date:date}", price=plan.price.amount, date=plan.price.date)
    params = count_architecture(plan.arch).said()
    items = [
        Figure(
            w.say("GPUs, mean"),
            w.count(plan.gpus_mean),
            w.say("80 %: {low:count} to {high:count}", low=low, high=high),
        ),
        Figure(w.say("GPUs, peak"), w.count(plan.gpus_peak), w.say("whole units")),
        Figure(w.say("Cost a day, while serving"), w.money(money.cost_per_day, currency), hour),
        Figure(
            w.say("Cost a day, around the clock"),
            w.money(fleet.cost_per_day, currency),
            w.say(
                "{gpus:,|GPU|GPUs}, {idle:.0%} of their time idle; {month:money} a month, {year:money} a year",
                gpus=fleet.gpus,
                idle=fleet.idle,
                month=Amount(fleet.cost_per_month, currency),
                year=Amount(fleet.cost_per_year, currency),
            ),
        ),
        Figure(
            w.say("Per million output tokens, all in"),
            w.money(money.all_in_per_m_output, currency),
            w.say(
                "{count:count} a day; {rented:money} rented around the clock",
                count=plan.demand.output_per_day,
                rented=Amount(fleet.all_in_per_m_output, currency),
            ),
        ),
        Figure(w.say("Input tokens/s per GPU that prefills"), w.count(plan.input_rate)),
        Figure(w.say("Output tokens/s per GPU that decodes"), w.count(plan.output_rate)),
        parameters_figure(params, w),
    ]
    if plan.makers is not None:
        mean = plan.makers.gpus_mean
        note = w.say(
            "GPUs, mean, on units of {layout}; 80 %: {low:count} to {high:count}; {cost:money} a day",
            layout=plan.makers.layout,
            low=mean / plan.high_factor,
            high=mean / plan.low_factor,
            cost=Amount(plan.makers.cost_per_day, currency),
        )
        items.insert(1, Figure(w.say("As its makers serve it"), w.count(mean), note))
    if money.margin is not None and plan.prices is not None:
        note = w.say("at {name} prices", name=plan.prices.sentence())
        items.append(Figure(w.say("Margin on cost"), w.percent(money.margin, ",.0f"), note))
    return Figures(items)


def _units(plan: ServingPlan, w: Writer) -> Table:
    rows = []
    for name, unit in units(plan).items():
        rate = unit.get("output_tokens_per_s_per_gpu", unit.get("input_tokens_per_s_per_gpu", 0.0))
        batch = unit.get("batch_per_gpu", unit.get("tokens_per_step_per_group", 0.0))
        step = unit.get("tpot_s", unit.get("step_s", 0.0))
        cells = [f"{unit['gpus_per_unit']}", w.count(unit["gpus_mean"]), w.count(batch)]
        rows.append([f"{w.say(name)} {unit['unit']}", *cells, _milliseconds(w, step), w.count(rate)])
    head = map(w.say, ("GPUs a unit", "GPUs, mean", "Batch per GPU", "Step", "tokens/s per GPU"))
    note = w.say("A prefill unit's batch is in tokens of a step, a decode unit's in sequences.")
    return Table(w.say("Units"), ["", *head], rows, note)


def _layouts(plan: ServingPlan, w: Writer) -> list[Table]:
    """The best layouts before the simulation, and what the chosen one has before them; none where one was given."""
    if len(plan.considered) < 2:
        return []
    chosen = layout_of(plan.choice)
    best = next((one.per_gpu for one in plan.considered if one.layout == chosen), plan.considered[0].per_gpu)
    rows = []
    for one in plan.considered:
        if one.layout == chosen:
            why = w.say("chosen")
        elif one.per_gpu > best:
            why = w.say("behind once arrivals are simulated")
        else:
            why = w.say(slower(best / one.per_gpu))
        interval = f"{w.plain(one.per_gpu * plan.low_factor)} – {w.plain(one.per_gpu * plan.high_factor)}"
        cells = [w.number(one.gpus_per_unit), _milliseconds(w, one.tpot_s), w.plain(one.per_gpu), interval, why]
        rows.append([one.layout, *cells])
    head = map(w.say, ("GPUs a unit", "token", "output tokens/s per GPU", "80 % interval", "why not"))
    note = w.say("At their working loads before arrivals are simulated; GPUs that prefill or are idle counted.")
    return [Table(w.say("Best layouts"), ["", *head], rows, note)]


def _steps(plan: ServingPlan, w: Writer) -> StackedBars:
    bars = [
        (w.say(name), {w.say(PARTS[part]): seconds * 1e3 for part, seconds in parts(step).items()})
        for name, step in steps(plan).items()
    ]
    # A step takes as much longer as fewer tokens come of it.
    ends = {label: sum(of.values()) for label, of in bars}
    intervals = {label: (ms / plan.high_factor, ms / plan.low_factor) for label, ms in ends.items()}
    return StackedBars(w.say("Where a step's time goes"), "ms", bars, w.plain, w.say("Whiskers: 80 %."), intervals)


def _money(plan: ServingPlan, w: Writer) -> Table:
    money, prices, currency = plan.money, plan.prices, plan.price.currency
    hits = plan.demand.input_per_day * plan.lengths.hit
    misses = plan.demand.input_per_day - hits
    lines = [
        (w.say("input, cache hit"), hits, money.hit_per_m, prices.hit if prices else None),
        (w.say("input, cache miss"), misses, money.miss_per_m, prices.miss if prices else None),
        (w.say("output"), plan.demand.output_per_day, money.output_per_m, prices.output if prices else None),
    ]

    def dollars(amount: float | None) -> str:
        return "–" if amount is None else w.money(amount, prices.currency if prices else currency)

    rows = [
        [
            name,
            w.count(tokens),
            w.money(cost, currency),
            dollars(list_price),
            w.money(tokens * cost / 1e6, currency),
            dollars(None if list_price is None else tokens * list_price / 1e6),
        ]
        for name, tokens, cost, list_price in lines
    ]
    total = w.money(money.cost_per_day, currency)
    rows.append([w.say("Total"), "", "", "", total, dollars(money.revenue_per_day)])
    head = map(w.say, ("tokens/day", "cost per M", "price per M", "cost a day", "revenue a day"))
    note = w.say(
        "Misses pay for prefill, output for decode; hits pay for the attention over them, and no more than a new token."
    )
    return Table(w.say("Money"), ["", *head], rows, note, total=True)


def _latency(plan: ServingPlan, w: Writer) -> Table:
    def row(label: str, which: str) -> list[str]:
        return [label, *(_milliseconds(w, value) for value in percentiles(plan, which).values())]

    rows = [row(w.say("Time to first token"), "ttft"), row(w.say("Time per output token"), "tpot")]
    note = w.say("Simulated: random arrivals at the planned load of one unit, from a fixed seed.")
    return Table(w.say("Latency"), ["", "p50", "p90", "p99"], rows, note)


def _milliseconds(w: Writer, seconds: float) -> str:
    """'46.9 ms', '1,063 ms': three digits, and never an exponent."""
    value = seconds * 1e3
    return w.quantity(value, ",.0f" if value >= 100 else ".3g", "ms")


def _frontier(plan: ServingPlan, w: Writer) -> LineChart:
    """Throughput against speed per user, as the batch grows."""
    choice, lengths = plan.choice, plan.lengths
    engine: EngineModel = choice.engine if isinstance(choice, Mixed) else choice.decode.engine
    most = engine.room(lengths.isl + lengths.osl / 2)
    points, band = [], []
    for i in range(25):
        batch = max(1.0, most * 2.0 ** (-i / 2))
        state = (
            steady(engine, batch, lengths.isl, lengths.osl, lengths.hit)
            if isinstance(choice, Mixed)
            else decoding(engine, batch, lengths.isl, lengths.osl)
        )
        rate = state.tokens_per_s / engine.unit.chips
        points.append((1 / state.tpot_s, rate))
        band.append((1 / state.tpot_s, rate * plan.low_factor, rate * plan.high_factor))
        if batch == 1.0:
            break
    points, band = sorted(set(points)), sorted(set(band))
    return LineChart(
        w.say("Throughput against speed"),
        w.say("output tokens/s per GPU"),
        w.say("tokens/s per user"),
        [Line(engine.unit.text(), points, band)],
        w.plain,
        w.plain,
        log_y=True,
    )
