"""A comparison as one table with a column each, bars, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from centime.catalogue.hourly_prices import how_old
from centime.messages import Writer, said
from centime.plan.compare.plan import Column, Comparison
from centime.plan.lifetime.report import cost
from centime.plan.show.sections import BarChart, Notes, Section, Table
from centime.plan.step.layout import text as layout_text
from centime.plan.training.plan import TrainingPlan


def title(found: Comparison, w: Writer) -> str:
    """One line."""
    names = ", ".join(column.name for column in found.columns)
    return w.say("Side by side: {names}", names=names)


def sections(found: Comparison, w: Writer) -> list[Section]:
    """The table, bars of training and of serving, who may buy when, and notes."""
    rows = [[w.say(label), *(of(w, column) or "–" for column in found.columns)] for label, of in ROWS]
    out: list[Section] = [Table("", ["", *(column.name for column in found.columns)], rows)]
    note = w.say("Whiskers: 80 %.")
    currency = next((c.price.currency for c in found.columns if c.price), "USD")
    per_token = w.say("{currency} per million output tokens", currency=currency)
    for name, unit, of, written in (
        (w.say("Training"), currency, _training_cost, partial(cost, w, unit=currency)),
        (w.say("Serving"), per_token, _serving_cost, partial(w.money, currency=currency)),
    ):
        known = {c.name: ends for c in found.columns if (ends := of(c)) is not None}
        if known:
            bars = [(label, middle) for label, (_, middle, _) in known.items()]
            out.append(BarChart(name, unit, bars, written, note, {label: (a, b) for label, (a, _, b) in known.items()}))
    verdicts = [line for what in (_training_cost, _serving_cost) if (line := ranking(found, what, w))]
    if verdicts:
        out.append(Notes(w.say("Ranking"), verdicts))
    bought = [
        [c.name, *(w.say(c.statuses[buyer].sentence()) for buyer in ("cn", "us"))]
        for c in {column.chip.name: column for column in found.columns}.values()
    ]
    region = found.request.region
    barred = list(dict.fromkeys(c.chip.name for c in found.columns if not c.statuses[region].may_buy))
    note = w.say("On {date:date}.", date=found.request.date)
    if barred:
        note += " " + w.say("Not to be had by {region}: {chips}.", region=said(region), chips=barred)
    out.append(Table(w.say("Who may buy it"), [w.say("Chip"), w.say("China"), w.say("United States")], bought, note))
    reasons = [
        w.say("{name}: {what}", name=column.name, what=reason) for column in found.columns for reason in column.why_not
    ]
    if reasons:
        out.append(Notes(w.say("What stands in the way"), reasons))
    out.append(Notes(w.say("Assumptions"), [w.say(line) for line in found.assumptions]))
    prices = [w.say("{name}: {what}", name=c.name, what=c.price.sentence()) for c in found.columns if c.price]
    prices += [w.say(line) for line in how_old([c.price for c in found.columns if c.price])]
    out.append(Notes(w.say("Prices"), list(dict.fromkeys(prices))))
    return out


Interval = tuple[float, float, float]  # low, figure, high: of 80 %


def _training_cost(column: Column) -> Interval | None:
    """Of the training, in the price's currency."""
    plan, cost = column.training, column.cost
    if plan is None or cost is None:
        return None
    if not plan.gpu_hours:  # of so few tokens that nothing is left of their time
        return cost, cost, cost
    return cost * plan.low_hours / plan.gpu_hours, cost, cost * plan.high_hours / plan.gpu_hours


def _serving_cost(column: Column) -> Interval | None:
    """Of a million output tokens, in the price's currency."""
    price = column.per_million("output")
    if price is None or column.serving is None:
        return None
    return price * column.serving.low, price, price * column.serving.high


def ranking(found: Comparison, what: Callable[[Column], Interval | None], w: Writer) -> str:
    """Whether the cheapest column is told from the others by more than what its figure may be off; '' for one alone."""
    told = sorted(((known, column.name) for column in found.columns if (known := what(column))), key=lambda t: t[0][1])
    if len(told) < 2:
        return ""
    topic = w.say("Training") if what is _training_cost else w.say("Serving")
    ((_, _, highest), best), *others = told
    alike = [name for (low, _, _), name in others if low <= highest]
    if alike:
        return w.say(
            "{topic}: no ranking of {best} and {names}, whose 80 % intervals overlap",
            topic=topic,
            best=best,
            names=alike,
        )
    return w.say("{topic}: {best} costs least, its 80 % interval below all others", topic=topic, best=best)


def _training(show: Callable[[Writer, TrainingPlan], str]) -> Cell:
    """A cell of the training's plan, where there is one."""
    return lambda w, column: show(w, column.training) if column.training else None


def _money(w: Writer, column: Column) -> str | None:
    return cost(w, column.cost, column.price.currency) if column.cost is not None and column.price else None


def _layout(w: Writer, plan: TrainingPlan) -> str:
    return f"{layout_text(plan.step.layout).replace(',', ', ')} ({plan.step.precision})"


def _memory(w: Writer, column: Column) -> str | None:
    if column.training is None:
        return None
    used, had = column.training.step.memory_gib["total"], (column.chip.memory_gb or 0) * 1e9 / 2**30
    return f"{w.number(used, '.1f')} / {w.number(had, '.1f')}"


def _chip(w: Writer, column: Column) -> str:
    chip = column.chip
    return " / ".join(w.number(value or 0, "g") for value in (chip.bf16_tflops, chip.memory_gb, chip.memory_tb_s))


def _links(w: Writer, column: Column) -> str:
    chip = column.chip
    up, domain, out = (
        w.number(value, "g") for value in (chip.scaleup_gb_s or 0, chip.scaleup_domain or 1, chip.scaleout_gb_s or 0)
    )
    return f"{up} x {domain} / {out}"


def _power(w: Writer, column: Column) -> str | None:
    if column.megawatts is None or column.gigawatt_hours is None:
        return None
    return f"{w.number(column.megawatts, '.2f')} / {w.number(column.gigawatt_hours, '.2f')}"


def _price(w: Writer, column: Column) -> str | None:
    price = column.price
    return w.say("{price:money} ({date:date})", price=price.amount, date=price.date) if price else None


def _per_million(which: str) -> Cell:
    def cell(w: Writer, column: Column) -> str | None:
        price = column.per_million(which)
        return w.money(price, column.price.currency) if price is not None and column.price else None

    return cell


def _rent(months: int) -> Cell:
    def cell(w: Writer, column: Column) -> str | None:
        if column.rent_per_month is None or column.price is None:
            return None
        return w.money(months * column.rent_per_month, column.price.currency, ",.0f")

    return cell


def _serving_interval(w: Writer, column: Column) -> str | None:
    known = _serving_cost(column)
    if known is None or column.price is None:
        return None
    low, high = (w.money(amount, column.price.currency) for amount in (known[0], known[2]))
    return f"{low} – {high}"


def _speed(w: Writer, column: Column) -> str | None:
    serving = column.serving
    return f"{w.number(serving.output_per_s_per_gpu, ',.0f')} ({serving.precision})" if serving else None


def _status(buyer: str) -> Cell:
    return lambda w, column: w.say(column.statuses[buyer].status)


Cell = Callable[[Writer, Column], str | None]
ROWS: tuple[tuple[str, Cell], ...] = (
    ("Chip: TFLOPS bf16 / GB / TB/s", _chip),
    ("Links: GB/s x domain / beyond", _links),
    ("Price of an hour (date)", _price),
    ("Training: GPU-hours", _training(lambda w, plan: w.count(plan.gpu_hours))),
    ("Interval, 80 %", _training(lambda w, plan: f"{w.count(plan.low_hours)} – {w.count(plan.high_hours)}")),
    ("Training: cost", _money),
    ("Rent of its chips a month", _rent(1)),
    ("Rent of its chips a year", _rent(12)),
    ("Training: days", _training(lambda w, plan: w.number(plan.days, ".1f"))),
    ("MFU", _training(lambda w, plan: w.percent(plan.step.mfu))),
    ("Layout", _training(_layout)),
    ("Memory: GiB used / had", _memory),
    ("Power: MW / GWh of training", _power),
    ("Serving: per million input tokens", _per_million("input")),
    ("Serving: per million output tokens", _per_million("output")),
    ("Interval, 80 %, of output tokens", _serving_interval),
    ("Serving: output tokens/s per GPU", _speed),
    ("China", _status("cn")),
    ("United States", _status("us")),
)
