"""An explanation in words, tables and a waterfall: the "paradox" in numbers."""

from __future__ import annotations

import math

from centime.catalogue.hourly_prices import how_old
from centime.messages import Amount, Said, Writer, said
from centime.plan.explain.plan import Explanation
from centime.plan.explain.run import ExplainedRun
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table, Waterfall

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


def title(found: Explanation, w: Writer) -> str:
    """One line."""
    return w.say("{a} against {b}", a=said(found.a.case.title), b=said(found.b.case.title))


def sections(found: Explanation, w: Writer) -> list[Section]:
    """Headlines, the table of causes, the waterfall in money, the paradox, assumptions and sources."""

    def money(value: float) -> str:
        return _money(w, value, found.a.case.currency, found.a.cost)

    def times(value: float) -> str:
        return f"x {w.number(value, '.3f' if 0.1 <= value < 10 else '.3g')}"

    whole = math.log(found.ratio)
    rows = [
        [
            w.say(LABELS[cause.name]),
            w.say(cause.before),
            w.say(cause.after),
            times(cause.factor),
            f"{times(math.exp(cause.least))} – {times(math.exp(cause.greatest))}",
            w.percent(cause.log / whole) if abs(whole) > 1e-12 else "–",
            money(cause.money),
        ]
        for cause in found.causes
    ]
    share = w.percent(1, ".0f") if abs(whole) > 1e-12 else "–"
    rows.append([w.say("Whole"), "", "", times(found.ratio), "", share, money(found.b.cost - found.a.cost)])
    out: list[Section] = [
        Figures([_headline(found, side, w) for side in ("a", "b")] + [Figure(w.say("B over A"), times(found.ratio))]),
        Table(
            w.say("Causes, from A to B"),
            [w.say(h) for h in ("Cause", "A", "B", "Factor", "In any order", "Share", "Money")],
            rows,
            w.say("Factors multiply to the whole, money adds up to the difference: Shapley values of the logarithm."),
            total=True,
        ),
        Waterfall(
            w.say("From A's cost to B's"),
            found.a.case.currency,
            ("A", found.a.cost),
            # What adds goes before what takes away, so that no bar falls below a cost of nothing on the way.
            [(w.say(LABELS[c.name]), c.money) for c in sorted(found.causes, key=lambda c: c.money < 0)],
            ("B", found.b.cost),
            money,
            w.say("Whiskers: 80 %."),
            {
                name: (run.cost * run.spread[0], run.cost * run.spread[1])
                for name, run in (("A", found.a), ("B", found.b))
            },
        ),
        Table(
            w.say("Whose doing"),
            [w.say("Family"), w.say("Factor")],
            [[w.say(FAMILY_LABELS[name]), times(found.family(name))] for name in FAMILY_LABELS],
            "",
        ),
    ]
    lines = paradox(found)
    if lines:
        out.append(Notes(w.say("The paradox in numbers"), [w.say(line) for line in lines]))
    notes = [w.say(line) for line in found.assumptions]
    notes += [w.say(run.price_note) for run in (found.a, found.b) if run.price_note]
    notes += [w.say(line) for line in how_old([run.hour for run in (found.a, found.b) if run.hour])]
    if notes:
        out.append(Notes(w.say("Assumptions"), list(dict.fromkeys(notes))))
    sources = list(dict.fromkeys((*found.a.case.sources, *found.b.case.sources)))
    if sources:
        out.append(Notes(w.say("Sources"), [w.say(source) for source in sources]))
    return out


def paradox(found: Explanation) -> list[str]:
    """What the chip did and what the model did, each alone, said for the cheaper of the two runs."""
    falls = found.ratio < 1
    dear, cheap = (found.a, found.b) if falls else (found.b, found.a)
    turn = 1 if falls else -1  # shares of the way from the dear run to the cheap one
    lines: list[str] = []
    if dear.at.chip == cheap.at.chip and found.family("hardware") == 1:
        return lines

    def factor(*causes: str) -> float:
        return math.exp(turn * math.fsum(cause.log for cause in found.causes if cause.name in causes))

    links, silicon, price = factor("interconnect"), factor("chip"), factor("price")
    lines.append(
        said(
            "On {cheap} instead of {dear} the same work costs {links:+.1f} % by the links, {silicon:+.1f} % by compute "
            "and memory, {price:+.1f} % by the price of an hour: {all:+.1f} % together.",
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
                "The model and its tokens change the cost by {model:+.1f} %, precision, overlap and layout by "
                "{software:+.1f} %: what the chip gives or takes is {share:.1f} % of the whole, in logarithms.",
                model=_percent(math.exp(model)),
                software=_percent(software),
                share=100 * math.log(links * silicon * price) / (turn * math.log(found.ratio)),
            )
        )
    return lines


def _hardware(run: ExplainedRun, other: ExplainedRun) -> str:
    """'H800 SXM 80GB', with the price of an hour where both runs are on the same chip."""
    if run.at.chip.name != other.at.chip.name:
        return run.at.chip.name
    return said("{chip} ({price:money}/h)", chip=run.at.chip.name, price=Amount(run.price, run.case.currency))


def _headline(found: Explanation, side: str, w: Writer) -> Figure:
    run = found.a if side == "a" else found.b
    low, high = (_money(w, run.cost * end, run.case.currency) for end in run.spread)
    reported: Said | str = ""
    if run.case.reported_gpu_hours:
        off = run.gpu_hours / run.case.reported_gpu_hours - 1
        reported = said("; reported {hours:count} ({off:+.1f} %)", hours=run.case.reported_gpu_hours, off=100 * off)
    return Figure(
        w.say("{side}: {title}", side=side.upper(), title=said(run.case.title)),
        _money(w, run.cost, run.case.currency),
        w.say(
            "{low} – {high}; {hours:count|GPU-hour|GPU-hours}{reported}",
            low=low,
            high=high,
            hours=run.gpu_hours,
            reported=reported,
        ),
    )


def _percent(factor: float) -> float:
    return 100 * (factor - 1)


def _money(w: Writer, value: float, currency: str, like: float = 0.0) -> str:
    """Millions with three decimals where it, or what it stands beside, is that large."""
    if max(abs(value), like) < 1e6:
        return w.money(value, currency)
    return w.money(value / 1e6, currency, ",.3f", "M")
