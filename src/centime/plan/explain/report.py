"""An explanation in words, tables and a waterfall: the "paradox" in numbers."""

from __future__ import annotations

import math

from centime.messages import said
from centime.plan.explain.plan import Explanation
from centime.plan.explain.run import Run
from centime.plan.show.language import number, words
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table, Waterfall
from centime.units import format_count, format_money

LABELS = {
    "size": "Model size",
    "sparsity": "Sparsity and shape",
    "attention": "Attention",
    "precision": "Precision",
    "overlap": "Overlap and software",
    "layout": "Layout as run",
    "interconnect": "Interconnect",
    "chip": "Chip: compute and memory",
    "cluster": "Cluster and batch",
    "tokens": "Tokens",
    "price": "Price of an hour",
}
FAMILY_LABELS = {
    "model": "The model and its tokens",
    "numerics and software": "Precision, overlap, layout",
    "hardware": "Hardware and its price",
    "scale": "Cluster and batch",
}


def title(found: Explanation, lang: str) -> str:
    """One line."""
    say = words(lang)
    return number(say("{a} against {b}", a=say(found.a.case.title), b=say(found.b.case.title)), lang)


def sections(found: Explanation, lang: str) -> list[Section]:
    """Headlines, the table of causes, the waterfall in money, the paradox, assumptions and sources."""
    say = words(lang)

    def money(value: float) -> str:
        return number(_money(value, found.a.case.currency, found.a.cost), lang)

    def times(value: float) -> str:
        return number(f"x {value:.3f}" if 0.1 <= value < 10 else f"x {value:.3g}", lang)

    whole = math.log(found.ratio)
    rows = [
        [
            say(LABELS[cause.name]),
            number(say(cause.before), lang),
            number(say(cause.after), lang),
            times(cause.factor),
            f"{times(math.exp(cause.least))} – {times(math.exp(cause.greatest))}",
            number(f"{100 * cause.log / whole:.1f} %" if abs(whole) > 1e-12 else "–", lang),
            money(cause.money),
        ]
        for cause in found.causes
    ]
    share = "100 %" if abs(whole) > 1e-12 else "–"
    rows.append([say("Whole"), "", "", times(found.ratio), "", share, money(found.b.cost - found.a.cost)])
    out: list[Section] = [
        Figures([_headline(found, side, lang) for side in ("a", "b")] + [Figure(say("B over A"), times(found.ratio))]),
        Table(
            say("Causes, from A to B"),
            [say(h) for h in ("Cause", "A", "B", "Factor", "In any order", "Share", "Money")],
            rows,
            say("Factors multiply to the whole, money adds up to the difference: Shapley values of the logarithm."),
            total=True,
        ),
        Waterfall(
            say("From A's cost to B's"),
            found.a.case.currency,
            ("A", found.a.cost),
            [(say(LABELS[cause.name]), cause.money) for cause in found.causes],
            ("B", found.b.cost),
            money,
        ),
        Table(
            say("Whose doing"),
            [say("Family"), say("Factor")],
            [[say(FAMILY_LABELS[name]), times(found.family(name))] for name in FAMILY_LABELS],
            "",
        ),
    ]
    lines = paradox(found)
    if lines:
        out.append(Notes(say("The paradox in numbers"), [number(say(line), lang) for line in lines]))
    notes = [number(say(line), lang) for line in found.assumptions]
    notes += [number(say(run.price_note), lang) for run in (found.a, found.b) if run.price_note]
    if notes:
        out.append(Notes(say("Assumptions"), list(dict.fromkeys(notes))))
    sources = list(dict.fromkeys((*found.a.case.sources, *found.b.case.sources)))
    if sources:
        out.append(Notes(say("Sources"), [say(source) for source in sources]))
    return out


def paradox(found: Explanation) -> list[str]:
    """What the chip did and what the model did, each alone, said for the cheaper of the two runs."""
    dear, cheap = (found.a, found.b) if found.ratio < 1 else (found.b, found.a)
    turn = 1 if found.ratio < 1 else -1  # shares of the way from the dear run to the cheap one
    lines: list[str] = []
    if dear.at.chip == cheap.at.chip and found.family("hardware") == 1:
        return lines

    def factor(*causes: str) -> float:
        return math.exp(turn * math.fsum(cause.log for cause in found.causes if cause.name in causes))

    links, silicon, price = factor("interconnect"), factor("chip"), factor("price")
    lines.append(
        said(
            "On {cheap} instead of {dear} the same work costs {links} by the links, {silicon} by compute and memory, "
            "{price} by the price of an hour: {all} together.",
            cheap=_hardware(cheap, dear),
            dear=_hardware(dear, cheap),
            links=_percent(links),
            silicon=_percent(silicon),
            price=_percent(price),
            all=_percent(links * silicon * price),
        )
    )
    model = turn * math.log(found.family("model"))
    if abs(model) > 1e-9:
        software = math.exp(turn * math.log(found.family("numerics and software")))
        lines.append(
            said(
                "The model and its tokens change the cost by {model}, precision, overlap and layout by {software}: "
                "what the chip gives or takes is {share} of the whole, in logarithms.",
                model=_percent(math.exp(model)),
                software=_percent(software),
                share=f"{100 * math.log(links * silicon * price) / (turn * math.log(found.ratio)):.1f} %",
            )
        )
    return lines


def _hardware(run: Run, other: Run) -> str:
    """'H800 SXM 80GB', with the price of an hour where both runs are on the same chip."""
    if run.at.chip.name != other.at.chip.name:
        return run.at.chip.name
    return f"{run.at.chip.name} ({format_money(run.price, run.case.currency)}/h)"


def _headline(found: Explanation, side: str, lang: str) -> Figure:
    run = found.a if side == "a" else found.b
    say = words(lang)
    hours = number(format_count(run.gpu_hours), lang)
    low, high = (number(_money(run.cost * end, run.case.currency), lang) for end in run.spread)
    small = f"{low} – {high}; " + say("{hours} GPU-hours", hours=hours)
    if run.case.reported_gpu_hours:
        off = run.gpu_hours / run.case.reported_gpu_hours - 1
        reported = number(format_count(run.case.reported_gpu_hours), lang)
        small += number(say("; reported {hours} ({off:+.1f} %)", hours=reported, off=100 * off), lang)
    return Figure(
        say("{side}: {title}", side=side.upper(), title=say(run.case.title)),
        number(_money(run.cost, run.case.currency), lang),
        small,
    )


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.1f} %"


def _money(value: float, currency: str, like: float = 0.0) -> str:
    """Millions with three decimals where it, or what it stands beside, is that large."""
    sign, amount = ("-" if value < 0 else ""), abs(value)
    if max(amount, like) < 1e6:
        return sign + format_money(amount, currency)
    symbol = "$" if currency == "USD" else ""
    text = f"{symbol}{amount / 1e6:,.3f} M"
    return sign + (text if symbol else f"{text} {currency}")
