"""A comparison as one table with a column each, bars, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable

from centime.messages import said
from centime.plan.catalogue_notes import priced, ruled
from centime.plan.compare.plan import Column, Comparison
from centime.plan.lifetime.report import cost
from centime.plan.show.language import number, words
from centime.plan.show.sections import BarChart, Notes, Section, Table
from centime.plan.step.layout import text as layout_text
from centime.units import format_count, format_money


def title(found: Comparison, lang: str) -> str:
    """One line."""
    names = ", ".join(column.name for column in found.columns)
    return words(lang)("Side by side: {names}", names=names)


def sections(found: Comparison, lang: str) -> list[Section]:
    """The table, bars of training and of serving, who may buy when, and notes."""
    say = words(lang)
    rows = [[say(label), *(_cell(of, column, lang) for column in found.columns)] for label, of in ROWS]
    out: list[Section] = [Table("", ["", *(column.name for column in found.columns)], rows)]
    trained = [(c.name, c.cost) for c in found.columns if c.cost is not None]
    served = [(c.name, price) for c in found.columns if (price := c.per_million("output")) is not None]
    currency = next((c.price.currency for c in found.columns if c.price), "USD")
    if trained:
        out.append(BarChart(say("Training"), currency, trained, lambda value: number(cost(value, currency), lang)))
    if served:
        unit = say("{currency} per million output tokens", currency=currency)
        out.append(BarChart(say("Serving"), unit, served, lambda value: number(format_money(value, currency), lang)))
    bought = [
        [c.name, *(number(say(ruled(c.statuses[buyer])), lang) for buyer in ("cn", "us"))]
        for c in {column.chip.name: column for column in found.columns}.values()
    ]
    region = found.request.region
    barred = list(dict.fromkeys(c.chip.name for c in found.columns if not c.statuses[region].may_buy))
    note = say("On {date}.", date=found.request.date)
    if barred:
        note += " " + say("Not to be had by {region}: {chips}.", region=region, chips=", ".join(barred))
    out.append(Table(say("Who may buy it"), [say("Chip"), say("China"), say("United States")], bought, note))
    reasons = [
        number(say("{name}: {what}", name=column.name, what=say(reason)), lang)
        for column in found.columns
        for reason in column.why_not
    ]
    if reasons:
        out.append(Notes(say("What stands in the way"), reasons))
    out.append(Notes(say("Assumptions"), [number(say(line), lang) for line in found.assumptions]))
    prices = [
        number(say("{name}: {what}", name=c.name, what=say(priced(c.price))), lang) for c in found.columns if c.price
    ]
    out.append(Notes(say("Prices"), list(dict.fromkeys(prices))))
    return out


def _cell(of: Callable[[Column], str | None], column: Column, lang: str) -> str:
    text = of(column)
    return "–" if text is None else number(words(lang)(text), lang)


def _hours(column: Column) -> str | None:
    return format_count(column.training.gpu_hours) if column.training else None


def _interval(column: Column) -> str | None:
    plan = column.training
    return f"{format_count(plan.low_hours)} – {format_count(plan.high_hours)}" if plan else None


def _money(column: Column) -> str | None:
    return cost(column.cost, column.price.currency) if column.cost is not None and column.price else None


def _days(column: Column) -> str | None:
    return f"{column.training.days:.1f}" if column.training else None


def _mfu(column: Column) -> str | None:
    return f"{100 * column.training.step.mfu:.1f} %" if column.training else None


def _layout(column: Column) -> str | None:
    if column.training is None:
        return None
    step = column.training.step
    return f"{layout_text(step.layout).replace(',', ', ')} ({step.precision})"


def _memory(column: Column) -> str | None:
    if column.training is None:
        return None
    return f"{column.training.step.memory_gib['total']:.1f} / {(column.chip.memory_gb or 0) * 1e9 / 2**30:.1f}"


def _chip(column: Column) -> str | None:
    chip = column.chip
    return f"{chip.bf16_tflops or 0:g} / {chip.memory_gb or 0:g} / {chip.memory_tb_s or 0:g}"


def _links(column: Column) -> str | None:
    chip = column.chip
    return f"{chip.scaleup_gb_s or 0:g} x {chip.scaleup_domain or 1:g} / {chip.scaleout_gb_s or 0:g}"


def _power(column: Column) -> str | None:
    return None if column.megawatts is None else f"{column.megawatts:.2f} / {column.gigawatt_hours:.2f}"


def _price(column: Column) -> str | None:
    price = column.price
    return f"{format_money(price.per_device_hour, price.currency)} ({price.date})" if price else None


def _per_million(column: Column, which: str) -> str | None:
    price = column.per_million(which)
    return format_money(price, column.price.currency) if price is not None and column.price else None


def _speed(column: Column) -> str | None:
    return f"{column.serving.output_per_s_per_gpu:,.0f} ({column.serving.precision})" if column.serving else None


ROWS: tuple[tuple[str, Callable[[Column], str | None]], ...] = (
    ("Chip: TFLOPS bf16 / GB / TB/s", _chip),
    ("Links: GB/s x domain / beyond", _links),
    ("Price of an hour (date)", _price),
    ("Training: GPU-hours", _hours),
    ("Interval, 80 %", _interval),
    ("Training: cost", _money),
    ("Training: days", _days),
    ("MFU", _mfu),
    ("Layout", _layout),
    ("Memory: GiB used / had", _memory),
    ("Power: MW / GWh of training", _power),
    ("Serving: per million input tokens", lambda column: _per_million(column, "input")),
    ("Serving: per million output tokens", lambda column: _per_million(column, "output")),
    ("Serving: output tokens/s per GPU", _speed),
    ("China", lambda column: said(column.statuses["cn"].status)),
    ("United States", lambda column: said(column.statuses["us"].status)),
)
