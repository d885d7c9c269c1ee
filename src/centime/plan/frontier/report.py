"""What a frontier shows."""

from __future__ import annotations

from centime.catalogue.hourly_prices import how_old
from centime.messages import Said, Writer, said
from centime.plan.frontier.layouts import SHOWN, Tried
from centime.plan.frontier.measured import Measured
from centime.plan.frontier.plan import MILLION, SPEEDS, Curve, FrontierPlan
from centime.plan.show.sections import Line, LineChart, Notes, Section, StackedBars, Table

PARTS = {  # of a chip's memory
    "weights": "weights",
    "cache": "cache",
    "activations": "activations and buffers",
    "room": "room",
    "kept_free": "kept free",
}
POINTS = 49  # of a line
FEW = 3  # chips that a title names, curves whose launch lines are shown
ROLES = {"both": "one unit", "prefill": "a prefill unit", "decode": "a decode unit"}
ENGINE_NAMES = {"vllm": "vLLM", "sglang": "SGLang", "trt": "TensorRT-LLM"}


def title(plan: FrontierPlan, w: Writer) -> str:
    """One line."""
    names = list(dict.fromkeys(curve.chip.name for curve in plan.curves))
    chips = ", ".join(names) if len(names) <= FEW else w.say("{n:,} chips", n=len(names))
    return w.say("{model}: speed against tokens of a chip, {chips}", model=plan.request.model, chips=chips)


def sections(plan: FrontierPlan, w: Writer) -> list[Section]:
    """The charts, speed by speed, the layouts of each chip, memory, launch lines, notes."""
    found: list[Section] = []
    if plan.shown:
        found += [_chart(plan, w), *_dollars(plan, w), _speeds(plan, w)]
        found.append(Notes(w.say("Ranking"), [ranking(plan, w)]))
    found += [_layouts(plan, curve, w) for curve in plan.curves if curve.layouts]
    if any(curve.best for curve in plan.curves):
        found += [_memory(plan, w), _largest(plan, w)]
        found += [_launch(plan, curve, w) for curve in _started(plan)]
    reasons = [w.say("{name}: {what}", name=c.name, what=c.why_not) for c in plan.curves if c.why_not]
    if reasons:
        found.append(Notes(w.say("What stands in the way"), reasons))
    found.append(Notes(w.say("Assumptions"), [w.say(line) for line in plan.assumptions]))
    unknown = said("no price of an hour is known; give one with --price")
    prices = [
        w.say("{name}: {what}", name=c.chip.name, what=c.price.sentence() if c.price else unknown) for c in plan.curves
    ]
    prices += [w.say(line) for line in how_old([c.price for c in plan.curves if c.price])]
    found.append(Notes(w.say("Prices"), list(dict.fromkeys(prices))))
    found.append(Notes(w.say("Sources"), [w.say(source) for source in plan.sources]))
    return found


def _line(curve: Curve, speeds: list[float], scale: float) -> Line:
    """The curve with its band, every figure of a chip times `scale`."""
    points = curve.sampled(speeds)
    band = []
    for x, y in points:
        low, high = curve.band(x, y)
        band.append((x, low * scale, high * scale))
    return Line(curve.name, [(x, y * scale) for x, y in points], band)


def _chart(plan: FrontierPlan, w: Writer) -> LineChart:
    speeds = plan.speeds(POINTS)
    lines = [_line(curve, speeds, 1.0) for curve in plan.shown]
    note = w.say("Bands: 80 %.")
    if plan.measured is not None:
        lines += _dots(plan, plan.measured, w)
        note += " " + _left_out(plan.measured, w)
    return LineChart(
        w.say("Tokens of a chip against speed for a user"),
        w.say("output tokens/s per chip"),
        w.say("tokens/s per user"),
        lines,
        w.plain,
        w.plain,
        log_x=True,
        log_y=True,
        note=note,
    )


def _dots(plan: FrontierPlan, found: Measured, w: Writer) -> list[Line]:
    """Measured points, in the colour of the first curve of their chip."""
    out: list[Line] = []
    for tone, curve in enumerate(plan.shown):
        if curve.chip.name in {earlier.chip.name for earlier in plan.shown[:tone]}:
            continue
        points = sorted((p.per_user, p.per_chip) for p in found.points if p.chip == curve.chip.name)
        if points:
            out.append(Line(w.say("{chip}, measured", chip=curve.chip.name), points, dots=True, tone=tone))
    return out


def _left_out(found: Measured, w: Writer) -> str:
    reasons = [f"{w.say(why)} ({count})" for why, count in found.left_out.items()]
    drawn = w.say("Measured: {n:,|point|points}.", n=len(found.points))
    return f"{drawn} {w.say('Left out: {reasons}.', reasons=reasons)}" if reasons else drawn


def _dollars(plan: FrontierPlan, w: Writer) -> list[LineChart]:
    priced = [curve for curve in plan.shown if curve.per_dollar(1.0)]
    if not priced:
        return []
    currency = priced[0].price.currency if priced[0].price else "USD"
    return [
        LineChart(
            w.say("Tokens for money against speed for a user"),
            w.say("million output tokens per {currency}", currency=currency),
            w.say("tokens/s per user"),
            [_line(curve, plan.speeds(POINTS), (curve.per_dollar(1.0) or 0.0) / MILLION) for curve in priced],
            w.plain,
            w.plain,
            log_x=True,
            log_y=True,
            note=w.say("Bands: 80 % of the speed; prices as they are."),
        )
    ]


def _speeds(plan: FrontierPlan, w: Writer) -> Table:
    rows = []
    for curve in plan.shown:
        cells = []
        for speed in SPEEDS:
            point = curve.at(speed)
            cells.append("–" if point is None else f"{w.plain(point.per_chip)} ({point.layout})")
        rows.append([curve.name, *cells])
    head = [w.say("{speed:g} tokens/s per user", speed=speed) for speed in SPEEDS]
    return Table(w.say("Output tokens/s per chip, and the layout"), ["", *head], rows)


def ranking(plan: FrontierPlan, w: Writer) -> str:
    """Whether the best layout's chip is told from the others by more than what its figure may be off."""
    told = sorted(((curve.best.per_chip, curve) for curve in plan.curves if curve.best), key=lambda one: -one[0])
    if not told:
        return w.say("No layout keeps to the limits on any of the chips.")
    rate, best = told[0]
    low = rate * best.low
    alike = [c.name for _, c in told[1:] if c.best is not None and c.span(c.best, plan.lengths)[1] >= low]
    if alike:
        return w.say(
            "Within the limits: no ranking of {best} and {names}, whose 80 % intervals overlap",
            best=best.name,
            names=alike,
        )
    return w.say(
        "Within the limits: {best} gives the most tokens a chip, {rate:,.0f} a second", best=best.name, rate=rate
    )


def _layouts(plan: FrontierPlan, curve: Curve, w: Writer) -> Table:
    money = [one.per_chip for one in curve.layouts[:SHOWN] if curve.per_dollar(one.per_chip)]
    currency = curve.price.currency if curve.price and money else ""
    rows = []
    for one in (layout for layout in curve.layouts[:SHOWN] if layout.serves):
        dollars = curve.per_dollar(one.per_chip)
        cost = [w.money(MILLION / dollars, currency) if dollars else "–"] if currency else []
        why = w.say(one.why) if one.why else w.say("best")
        rows.append([one.layout, f"{one.chips}", *_figures(plan, curve, one, w), *cost, why])
    head = [*map(w.say, ("chips", "sequences a chip", "token", "tokens/s per chip", "80 % interval"))]
    head += [w.say("per M output")] if currency else []
    left = sum(one.serves for one in curve.layouts[SHOWN:])
    notes = [w.say("{n:,} slower ones more were tried.", n=left)] if left > 0 else []
    notes += [w.say("{layouts}: {why}.", layouts=names, why=why) for names, why in _refused(curve)]
    return Table(w.say("Layouts on {name}", name=curve.name), ["", *head, w.say("why not")], rows, " ".join(notes))


def _refused(curve: Curve) -> list[tuple[list[str], Said]]:
    """Layouts that do not serve, those together that the same stands in the way of, with what it is for the widest."""
    found: dict[str, tuple[list[str], Said]] = {}
    for one in sorted((one for one in curve.layouts if not one.serves), key=lambda one: one.chips):
        if one.why is not None:
            names = found.get(one.why.template, ([], one.why))[0]
            found[one.why.template] = ([*names, one.layout], one.why)
    return list(found.values())


def _figures(plan: FrontierPlan, curve: Curve, one: Tried, w: Writer) -> list[str]:
    batch = w.plain(one.batch / one.engine.unit.chips)
    interval = " – ".join(map(w.plain, curve.span(one, plan.lengths)))
    return [batch, w.quantity(one.tpot_s * 1e3, ".3g", "ms"), w.plain(one.per_chip), interval]


def _memory(plan: FrontierPlan, w: Writer) -> StackedBars:
    bars = []
    for curve in plan.curves:
        memory = curve.memory(plan.lengths)
        if memory is not None and curve.best is not None:
            parts = {w.say(PARTS[name]): value for name, value in memory.parts().items()}
            bars.append((f"{curve.name}: {curve.best.engine.unit.text()}", parts))
    note = w.say("Of a chip that decodes, in the best layout: sequences halfway through their answers.")
    return StackedBars(w.say("Memory of a chip"), w.unit("GiB"), bars, lambda value: w.number(value, ".1f"), note)


def _largest(plan: FrontierPlan, w: Writer) -> Table:
    rows = []
    for curve in plan.curves:
        memory = curve.memory(plan.lengths)
        if memory is not None and curve.best is not None:
            context = w.say("no bound") if memory.context is None else w.count(memory.context)
            rows.append([curve.name, curve.best.engine.unit.text(), context, w.number(memory.concurrency, ",.0f")])
    head = map(w.say, ("unit", "largest context, tokens", "most sequences of these lengths"))
    note = w.say("A sequence in each attention group; what the model itself was trained for may be less.")
    return Table(w.say("What fits"), ["", *head], rows, note)


def _started(plan: FrontierPlan) -> list[Curve]:
    """The curves whose launch lines are shown: all of a few, else the one that serves most."""
    able = [curve for curve in plan.curves if curve.best]
    return able if len(able) <= FEW else sorted(able, key=lambda c: -c.best.per_chip if c.best else 0.0)[:1]


def _launch(plan: FrontierPlan, curve: Curve, w: Writer) -> Notes:
    lines = [
        w.say("{engine}, {role}: {command}", engine=ENGINE_NAMES[engine], role=said(ROLES[role]), command=command)
        for role, commands in plan.launches(curve)
        for engine, command in commands.items()
    ]
    return Notes(w.say("To start it: {name}", name=curve.name), lines, commands=True)
