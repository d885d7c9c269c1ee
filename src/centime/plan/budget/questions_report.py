"""The questions of an investor as tables: the likely split, and what a gain in efficiency does to the fleet."""

from __future__ import annotations

from centime.messages import Writer, said
from centime.plan.budget.plan import BudgetPlan
from centime.plan.budget.questions import EfficiencyGain
from centime.plan.fleet.uncertain import stated
from centime.plan.show.sections import Notes, Section, Table


def question_sections(plan: BudgetPlan, w: Writer) -> list[Section]:
    """The published splits, and the gain that was asked about."""
    return [*_splits(plan, w), *(_gain(plan.gain, plan.base.gpus, w) if plan.gain else [])]


def _splits(plan: BudgetPlan, w: Writer) -> list[Section]:
    head = ["", w.say("trains"), w.say("serves"), w.say("tokens/day"), w.say("NPV")]
    rows = [
        [
            w.say("{who}, {period}", who=said(split.title), period=split.period),
            w.number(split.train, ".0%"),
            w.number(1 - split.train, ".0%"),
            w.count(tokens),
            w.short_money(worth * plan.rate, plan.currency),
        ]
        for split, tokens, worth in plan.splits
    ]
    note = w.say("Shares of compute, research counted as training; this fleet so split, at the medians.")
    lines = [
        w.say(
            "{name}: {source}",
            name=said("{who}, {period}", who=said(split.title), period=split.period),
            source=said(split.source),
        )
        for split, _, _ in plan.splits
    ]
    return [Table(w.say("Which split is likely, as published"), head, rows, note), Notes(w.say("Who says so"), lines)]


def _gain(gain: EfficiencyGain, gpus: float, w: Writer) -> list[Section]:
    def times(value: float) -> str:
        return f"x {w.number(value, '.3g')}"

    low, middle, high = gain.gpus
    rows = [
        [w.say("Price of a token"), times(gain.price[1]), f"{times(gain.price[0])} – {times(gain.price[2])}"],
        [w.say("Tokens asked for"), times(gain.tokens[1]), f"{times(gain.tokens[0])} – {times(gain.tokens[2])}"],
        [w.say("GPUs needed"), w.count(middle), f"{w.count(low)} – {w.count(high)}"],
        [w.say("GPUs bought"), w.count(gpus), ""],
    ]
    note = w.say(
        "More GPUs than before in {share:.0%} of the draws: where the elasticity of demand is above {threshold:.2f}, "
        "at the median share of a saving that is passed on. What trains stays as it is.",
        share=gain.share_more,
        threshold=gain.threshold,
    )
    title = w.say("If a GPU serves {factor:g} times the tokens", factor=gain.factor)
    table = Table(title, ["", w.say("median"), w.say("80 % interval")], rows, note)
    return [table, Notes(w.say("What the gain rests on"), [w.say(stated(source)) for source in gain.sources])]
