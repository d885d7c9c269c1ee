"""A life's plan in words, tables and curves."""

from __future__ import annotations

from centime.plan.lifetime.plan import Lifetime, Option
from centime.plan.show.language import number, words
from centime.plan.show.sections import Figure, Figures, Line, LineChart, Notes, Section, StackedBars, Table
from centime.units import format_count, format_money


def title(found: Lifetime, lang: str) -> str:
    """One line."""
    served = number(format_count(found.served), lang)
    return words(lang)(
        "The life of a model as good as {model}, serving {served} tokens", model=found.bar.name, served=served
    )


def cost(value: float, unit: str) -> str:
    """'$4.33 B', '$16.18 M', '$290,336', '$0.42'; FLOP in powers of ten."""
    if unit == "FLOP":
        return f"{value:.3g} FLOP"
    symbol, after = ("$", "") if unit == "USD" else ("", f" {unit}")
    for scale, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= 0.9999995 * scale:
            return f"{symbol}{value / scale:,.2f} {letter}{after}"
    return f"{symbol}{value:,.0f}{after}" if abs(value) >= 1000 else format_money(value, unit)


def three_digits(value: float, unit: str) -> str:
    """'$168 M': short enough for an axis, and for a row of a terminal of 80 columns."""
    return f"${format_count(value)}" if unit == "USD" else cost(value, unit)


def sections(found: Lifetime, lang: str) -> list[Section]:
    """Headlines, the best of each kind, training and serving side by side, curves over demand, laws, notes."""
    say, served, unit, best = words(lang), found.served, found.unit, found.best

    def money(value: float) -> str:
        return number(cost(value, unit), lang)

    def count(value: float) -> str:
        return number(format_count(value), lang)

    def bare(value: float) -> str:
        return f"{value:.3g}" if unit == "FLOP" else count(value)

    def share(value: float) -> str:
        return number(f"{100 * value:.1f} %", lang)

    low, high = best.interval(served)
    figures = [
        Figure(say("Cheapest"), _model(best, lang), say("{tokens} tokens", tokens=count(best.tokens))),
        Figure(say("Its life"), money(best.total(served)), f"{money(low)} – {money(high)}"),
        Figure(say("Against {model}", model=found.bar.name), share(-found.saving), money(found.bar.total(served))),
        Figure(say("Spent on serving"), share(best.serving_share(served)), money(best.serve * served)),
        Figure(
            say("Serving passes training for good at"),
            say("{tokens} tokens", tokens=count(found.break_even())),
            say("{model}: {tokens}", model=found.bar.name, tokens=count(found.bar.break_even)),
        ),
    ]
    rows: list[tuple[str, Option]] = [(found.bar.name, found.bar)]
    precisions = dict.fromkeys(option.precision for option in found.options)
    for family, label in (("moe", say("Mixture")), ("dense", say("Dense"))):
        rows += [(label, one) for p in precisions if (one := found.best_of(family, p)) is not None]
    rows = [(f"{label}, {say(option.precision)}", option) for label, option in rows]
    curve = found.curve()
    out: list[Section] = [
        Figures(figures),
        _table(say("The cheapest of each kind"), rows, found, lang),
        StackedBars(
            say("Training and serving"),
            unit,
            [
                (label, {say("training"): option.train, say("inference"): option.serve * served})
                for label, option in rows
            ],
            bare,
        ),
        LineChart(
            say("The cheapest life by demand"),
            unit,
            say("tokens served"),
            [
                Line(say("training"), [(p.served, p.best.train) for p in curve]),
                Line(say("inference"), [(p.served, p.best.serve * p.served) for p in curve]),
                Line(found.bar.name, [(p.served, found.bar.total(p.served)) for p in curve]),
            ],
            lambda value: number(three_digits(value, unit), lang),
            count,
            log_x=True,
            log_y=True,
            marks=[(found.break_even(), say("serving passes training"))],
        ),
        LineChart(
            say("The cheapest size by demand"),
            say("parameters"),
            say("tokens served"),
            [
                Line(say("in all"), [(p.served, p.best.params) for p in curve]),
                Line(say("active"), [(p.served, p.best.active_params) for p in curve]),
            ],
            count,
            count,
            log_x=True,
            log_y=True,
        ),
        LineChart(
            say("Its training by demand"),
            say("tokens"),
            say("tokens served"),
            [Line(say("training tokens"), [(p.served, p.best.tokens) for p in curve])],
            count,
            count,
            log_x=True,
            log_y=True,
        ),
    ]
    if found.by_law:
        note = say("Equal quality under other published laws: how much hangs on the law.")
        laws = [(f"{law}, {say(option.precision)}", option) for law, option in found.by_law]
        out.append(_table(say("The cheapest under other laws"), laws, found, lang, note))
    out.append(Notes(say("Assumptions"), [number(say(line), lang) for line in found.assumptions]))
    out.append(Notes(say("Sources"), [say(source) for source in found.sources]))
    return out


def _model(option: Option, lang: str) -> str:
    total, active = format_count(option.params), format_count(option.active_params)
    text = total if option.sparsity.activation >= 1 else f"{total} / {active}"
    return number(text, lang)


def _table(name: str, rows: list[tuple[str, Option]], found: Lifetime, lang: str, note: str = "") -> Table:
    say, served = words(lang), found.served
    head = ("", "Parameters (active)", "Tokens", "Training", "Serving", "Total", "Break-even")

    def short(value: float) -> str:
        return number(three_digits(value, found.unit), lang)

    body = [
        [
            label,
            _model(option, lang),
            number(format_count(option.tokens), lang),
            short(option.train),
            short(option.serve * served),
            short(option.total(served)),
            number(format_count(option.break_even), lang),
        ]
        for label, option in rows
    ]
    return Table(name, [say(h) if h else "" for h in head], body, note)
