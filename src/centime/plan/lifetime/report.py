"""A life's plan in words, tables and curves."""

from __future__ import annotations

from functools import partial

from centime.messages import Writer
from centime.plan.lifetime.plan import Lifetime, Option
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, StackedBars, Table


def title(found: Lifetime, w: Writer) -> str:
    """One line."""
    return w.say(
        "The life of a model as good as {model}, serving {served:count} tokens",
        model=found.bar.name,
        served=found.served,
    )


def cost(w: Writer, value: float, unit: str) -> str:
    """'$4.33 B', '$16.18 M', '$290,336', '$0.420'; FLOP in powers of ten."""
    if unit == "FLOP":
        return w.quantity(value, ".3g", unit)
    for scale, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= 0.9999995 * scale:
            return w.money(value / scale, unit, ",.2f", letter)
    return w.money(value, unit, ",.0f" if abs(value) >= 1000 else "")


def three_digits(w: Writer, value: float, unit: str) -> str:
    """'$168 M': short enough for an axis, and for a row of a terminal of 80 columns."""
    return w.short_money(value, unit) if unit == "USD" else cost(w, value, unit)


def sections(found: Lifetime, w: Writer) -> list[Section]:
    """Headlines, the best of each kind, training and serving side by side, curves over demand, laws, notes."""
    served, unit, best = found.served, found.unit, found.best
    money, short = partial(cost, w, unit=unit), partial(three_digits, w, unit=unit)

    def bare(value: float) -> str:
        return w.number(value, ".3g")

    low, high = best.interval(served)
    figures = [
        Figure(w.say("Cheapest"), _model(best, w), w.say("{tokens:count} tokens", tokens=best.tokens)),
        Figure(w.say("Its life"), money(best.total(served)), f"{money(low)} – {money(high)}"),
        Figure(
            w.say("Against {model}", model=found.bar.name), w.percent(-found.saving), money(found.bar.total(served))
        ),
        Figure(w.say("Spent on serving"), w.percent(best.serving_share(served)), money(best.serve * served)),
        Figure(
            w.say("Serving passes training for good at"),
            w.say("{tokens:count} tokens", tokens=found.break_even()),
            w.say("{model}: {tokens:count}", model=found.bar.name, tokens=found.bar.break_even),
        ),
    ]
    rows: list[tuple[str, Option]] = [(found.bar.name, found.bar)]
    precisions = dict.fromkeys(option.precision for option in found.options)
    for family, label in (("moe", w.say("Mixture")), ("dense", w.say("Dense"))):
        rows += [(label, one) for p in precisions if (one := found.best_of(family, p)) is not None]
    rows = [(_named(w, label, option), option) for label, option in rows]
    curve = found.curve()
    out: list[Section] = [
        Figures(figures),
        _table(w.say("The cheapest of each kind"), rows, found, w),
        StackedBars(
            w.say("Training and serving"),
            unit,
            [
                (label, {w.say("training"): option.train, w.say("inference"): option.serve * served})
                for label, option in rows
            ],
            bare if unit == "FLOP" else short,
            w.say("Whiskers: 80 %."),
            {label: option.interval(served) for label, option in rows},
        ),
        LineChart(
            w.say("The cheapest life by demand"),
            unit,
            w.say("tokens served"),
            [
                Line(w.say("training"), [(p.served, p.best.train) for p in curve]),
                Line(w.say("inference"), [(p.served, p.best.serve * p.served) for p in curve]),
                Line(found.bar.name, [(p.served, found.bar.total(p.served)) for p in curve]),
            ],
            short,
            w.count,
            log_x=True,
            log_y=True,
            marks=[(found.break_even(), w.say("serving passes training"))],
        ),
        LineChart(
            w.say("The cheapest size by demand"),
            w.say("parameters"),
            w.say("tokens served"),
            [
                Line(w.say("in all"), [(p.served, p.best.params) for p in curve]),
                Line(w.say("active"), [(p.served, p.best.active_params) for p in curve]),
            ],
            w.count,
            w.count,
            log_x=True,
            log_y=True,
        ),
        LineChart(
            w.say("Its training by demand"),
            w.say("tokens"),
            w.say("tokens served"),
            [Line(w.say("training tokens"), [(p.served, p.best.tokens) for p in curve])],
            w.count,
            w.count,
            log_x=True,
            log_y=True,
        ),
    ]
    if found.by_law:
        note = w.say("Equal quality under other published laws: how much hangs on the law.")
        laws = [(_named(w, law, option), option) for law, option in found.by_law]
        out.append(_table(w.say("The cheapest under other laws"), laws, found, w, note))
    out.append(Notes(w.say("Assumptions"), [w.say(line) for line in found.assumptions]))
    out.append(Notes(w.say("Sources"), [w.say(source) for source in found.sources]))
    return out


def _named(w: Writer, name: str, option: Option) -> str:
    if option.precision == "any":
        return w.say("{name}, any", name=name)
    return f"{name}, {option.precision}"


def _model(option: Option, w: Writer) -> str:
    total = w.count(option.params)
    return total if option.sparsity.activation >= 1 else f"{total} / {w.count(option.active_params)}"


def _table(name: str, rows: list[tuple[str, Option]], found: Lifetime, w: Writer, note: str = "") -> Table:
    served, short = found.served, partial(three_digits, w, unit=found.unit)
    columns = ("Parameters (active)", "Tokens", "Training", "Serving", "Total", "Break-even")
    body = [
        [
            label,
            _model(option, w),
            w.count(option.tokens),
            short(option.train),
            short(option.serve * served),
            short(option.total(served)),
            w.count(option.break_even),
        ]
        for label, option in rows
    ]
    return Table(name, ["", *map(w.say, columns)], body, note)
