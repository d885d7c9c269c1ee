"""What a serving plan shows."""

from __future__ import annotations

from centime.plan.catalogue_notes import briefly, listed, priced
from centime.plan.serving.choice import Mixed
from centime.plan.serving.engine import Engine, decoding, steady
from centime.plan.serving.plan import PARTS, ServingPlan, parts, percentiles, steps, units
from centime.plan.show.language import Words, number, words
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, StackedBars, Table, plain
from centime.units import format_count, format_money


def title(plan: ServingPlan, lang: str) -> str:
    """One line."""
    return words(lang)("Serving {model} on {chip}", model=plan.request.model, chip=plan.chip.name)


def sections(plan: ServingPlan, lang: str) -> list[Section]:
    """Everything, in order."""
    say = words(lang)
    found: list[Section] = [_figures(plan, say, lang), _units(plan, say, lang), _steps(plan, say, lang)]
    found += [_money(plan, say, lang), _latency(plan, say, lang), _frontier(plan, say, lang)]
    found.append(Notes(say("Assumptions"), [number(say(text), lang) for text in plan.assumptions]))
    found.append(Notes(say("Sources"), [*map(say, plan.sources), number(say(priced(plan.price)), lang)]))
    return found


def _figures(plan: ServingPlan, say: Words, lang: str) -> Figures:
    money, currency = plan.money, plan.price.currency
    low, high = (format_count(plan.gpus_mean / f) for f in (plan.high_factor, plan.low_factor))

    def n(text: str) -> str:
        return number(text, lang)

    items = [
        Figure(say("GPUs, mean"), n(format_count(plan.gpus_mean)), n(say("80 %: {low} to {high}", low=low, high=high))),
        Figure(say("GPUs, peak"), n(format_count(plan.gpus_peak)), n(say("whole units"))),
        Figure(say("Cost a day"), n(format_money(money.cost_per_day, currency)), n(say(briefly(plan.price)))),
        Figure(
            say("Per million output tokens, all in"),
            n(format_money(money.all_in_per_m_output, currency)),
            n(say("{count} a day", count=format_count(plan.demand.output_per_day))),
        ),
        Figure(say("Input tokens/s per GPU that prefills"), n(format_count(plan.input_rate))),
        Figure(say("Output tokens/s per GPU that decodes"), n(format_count(plan.output_rate))),
    ]
    if money.margin is not None and plan.prices is not None:
        shown = f"{money.margin * 100:,.0f} %"
        items.append(Figure(say("Margin on cost"), n(shown), say("at {name} prices", name=listed(plan.prices))))
    return Figures(items)


def _units(plan: ServingPlan, say: Words, lang: str) -> Table:
    rows = []
    for name, unit in units(plan).items():
        rate = unit.get("output_tokens_per_s_per_gpu", unit.get("input_tokens_per_s_per_gpu", 0.0))
        batch = unit.get("batch_per_gpu", unit.get("tokens_per_step_per_group", 0.0))
        step = unit.get("tpot_s", unit.get("step_s", 0.0))
        cells = [f"{unit['gpus_per_unit']}", format_count(unit["gpus_mean"]), format_count(batch)]
        cells += [_milliseconds(step), format_count(rate)]
        rows.append([f"{say(name)} {unit['unit']}", *(number(cell, lang) for cell in cells)])
    head = ["", say("GPUs a unit"), say("GPUs, mean"), say("Batch per GPU"), say("Step"), say("tokens/s per GPU")]
    note = say("A prefill unit's batch is in tokens of a step, a decode unit's in sequences.")
    return Table(say("Units"), head, rows, note)


def _steps(plan: ServingPlan, say: Words, lang: str) -> StackedBars:
    bars = [
        (say(name), {say(PARTS[part]): seconds * 1e3 for part, seconds in parts(step).items()})
        for name, step in steps(plan).items()
    ]
    return StackedBars(say("Where a step's time goes"), "ms", bars, lambda value: number(plain(value), lang))


def _money(plan: ServingPlan, say: Words, lang: str) -> Table:
    money, prices, currency = plan.money, plan.prices, plan.price.currency
    hits = plan.demand.input_per_day * plan.lengths.hit
    lines = [
        (say("input, cache hit"), hits, money.hit_per_m, prices.hit if prices else None),
        (say("input, cache miss"), plan.demand.input_per_day - hits, money.miss_per_m, prices.miss if prices else None),
        (say("output"), plan.demand.output_per_day, money.output_per_m, prices.output if prices else None),
    ]
    rows = [
        [
            name,
            number(format_count(tokens), lang),
            number(format_money(cost, currency), lang),
            number(format_money(asked, "USD"), lang) if asked is not None else "–",
            number(format_money(tokens * cost / 1e6, currency), lang),
            number(format_money(tokens * asked / 1e6, "USD"), lang) if asked is not None else "–",
        ]
        for name, tokens, cost, asked in lines
    ]
    total = number(format_money(money.cost_per_day, currency), lang)
    revenue = number(format_money(money.revenue_per_day, "USD"), lang) if money.revenue_per_day is not None else "–"
    rows.append([say("Total"), "", "", "", total, revenue])
    head = ["", say("tokens/day"), say("cost per M"), say("price per M"), say("cost a day"), say("revenue a day")]
    note = say("Misses pay for prefill, output for decode; hits pay for the attention that new tokens pay over them.")
    return Table(say("Money"), head, rows, note, total=True)


def _latency(plan: ServingPlan, say: Words, lang: str) -> Table:
    def row(label: str, which: str) -> list[str]:
        return [label, *(number(_milliseconds(value), lang) for value in percentiles(plan, which).values())]

    rows = [row(say("Time to first token"), "ttft"), row(say("Time per output token"), "tpot")]
    note = say("Simulated: random arrivals at the planned load of one unit, from a fixed seed.")
    return Table(say("Latency"), ["", "p50", "p90", "p99"], rows, note)


def _milliseconds(seconds: float) -> str:
    """'46.9 ms', '1,063 ms': three digits, and never an exponent."""
    value = seconds * 1e3
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def _frontier(plan: ServingPlan, say: Words, lang: str) -> LineChart:
    """Throughput against speed per user, as the batch grows."""
    choice, lengths = plan.choice, plan.lengths
    engine: Engine = choice.engine if isinstance(choice, Mixed) else choice.decode.engine
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
        say("Throughput against speed"),
        say("output tokens/s per GPU"),
        say("tokens/s per user"),
        [Line(engine.unit.text(), points, band)],
        lambda value: number(plain(value), lang),
        lambda value: number(plain(value), lang),
        log_y=True,
    )
