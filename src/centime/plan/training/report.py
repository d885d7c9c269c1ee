"""What a training plan shows: headline figures, Table 1 by stage, the step by part, memory, assumptions, sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from centime.messages import Said
from centime.plan.catalogue_notes import priced
from centime.plan.show.language import Words, number, words
from centime.plan.show.sections import Figure, Figures, Notes, Section, StackedBars, Table, plain
from centime.units import format_count, format_money

if TYPE_CHECKING:
    from centime.plan.training.plan import TrainingPlan
    from centime.plan.training.stages import Stage

NAMES = {
    "pretrain": "Pre-training",
    "extension": "Context extension",
    "sft": "Supervised tuning",
    "rl": "Reinforcement learning",
    "post": "Post-training (assumed)",
}


PHASES = {
    "forward_1f": "forward alone (1F)",
    "backward_1b": "backward alone (1B)",
    "weight_1w": "weight gradient alone (1W)",
    "steady_1f1b": "steady state (1F1B)",
    "bubble": "bubble",
    "optimizer": "optimizer",
}


def title(plan: TrainingPlan, lang: str) -> str:
    """'Training DeepSeek-V3 on 14.8 T tokens with 2,048 x H800 SXM 80GB'."""
    return words(lang)(
        "Training {model} on {tokens} tokens with {gpus} x {chip}",
        model=plan.arch.name,
        tokens=number(format_count(plan.request.tokens), lang),
        gpus=number(f"{plan.request.gpus:,}", lang),
        chip=plan.chip.name,
    )


def sections(plan: TrainingPlan, lang: str) -> list[Section]:
    """The sections, in the language."""
    say = words(lang)
    step = plan.step
    memory = {name: gib for name, gib in step.memory_gib.items() if name != "total"}

    def written(value: float) -> str:
        return number(plain(value), lang)

    return [
        _figures(plan, lang),
        _stages(plan, lang),
        StackedBars(
            say("Where a step's time goes"),
            "s",
            [(say("step"), {say(name.replace("_", " ")): s for name, s in step.breakdown_s.items() if s > 0})],
            written,
        ),
        Table(
            say("Phases of a step"),
            [say("phase"), "s"],
            [[say(PHASES[name]), number(f"{s:.2f}", lang)] for name, s in step.phases_s.items()],
        ),
        StackedBars(
            say("Memory of the fullest chip"),
            say("GiB"),
            [(plan.chip.name, {say(name): gib for name, gib in memory.items()})],
            written,
        ),
        Table(say("Layout"), [say("degree"), ""], _layout(plan, say)),
        *_drawn(plan, lang),
        *_searched(plan, lang),
        Notes(say("Assumptions"), [number(say(line), lang) for line in plan.assumptions]),
        Notes(
            say("Sources"), [number(say(line), lang) if isinstance(line, Said) else say(line) for line in plan.sources]
        ),
    ]


def _money(value: float, currency: str, lang: str) -> str:
    """Whole units from a thousand on: nobody knows the cents of a plan."""
    text = format_money(round(value) if value >= 1000 else value, currency)
    return number(text.replace(".00", "") if value >= 1000 else text, lang)


def _figures(plan: TrainingPlan, lang: str) -> Figures:
    say, step, currency = words(lang), plan.step, plan.price.currency
    rate = plan.price.per_device_hour

    def span(low: str, high: str) -> str:
        return say("80 %: {low} to {high}", low=low, high=high)

    hours = [number(format_count(value), lang) for value in (plan.low_hours, plan.high_hours)]
    money = [_money(value * rate, currency, lang) for value in (plan.low_hours, plan.high_hours)]
    speed = say(
        "of the bf16 peak; {rate} TFLOP/s, {precision}", rate=plain(step.tflops_per_gpu), precision=step.precision
    )
    return Figures(
        [
            Figure(say("GPU-hours"), number(format_count(plan.gpu_hours, 4), lang), span(*hours)),
            Figure(say("Cost"), _money(plan.cost, currency, lang), span(*money)),
            Figure(
                say("Days"),
                number(f"{plan.days:.1f}", lang),
                number(say("{share:.1%} of them training", share=plan.goodput.share), lang),
            ),
            Figure(
                say("Step"),
                number(f"{step.step_time_s:.2f} s", lang),
                number(f"{step.low_s:.2f} – {step.high_s:.2f} s", lang),
            ),
            Figure(say("Speed"), number(plain(step.tokens_per_s_per_gpu), lang), say("tokens/s per GPU")),
            Figure(say("MFU"), number(f"{step.mfu:.1%}", lang), number(speed, lang)),
            Figure(say("Memory"), number(f"{step.memory_gib['total']:.1f} GiB", lang)),
        ]
    )


def _stages(plan: TrainingPlan, lang: str) -> Table:
    """The shape of table 1 of the DeepSeek-V3 report."""
    say, rate, currency = words(lang), plan.price.per_device_hour, plan.price.currency

    def between(low: float, high: float) -> str:
        return number(f"{low:,.0f} – {high:,.0f}", lang) if high > low else "–"

    def amount(value: float) -> str:
        return number(f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}", lang)

    def row(stage: Stage) -> list[str]:
        return [
            say(NAMES[stage.name]),
            number(format_count(stage.tokens), lang) if stage.tokens else "–",
            number(f"{stage.step.seq:,}", lang) if stage.step and stage.name != "rl" else "–",
            number(f"{stage.gpu_hours:,.0f}", lang),
            between(stage.low_hours, stage.high_hours),
            amount(stage.gpu_hours * rate),
        ]

    head = [say("stage"), say("tokens"), say("sequence"), say("GPU-hours"), say("80 % interval"), currency]
    total = [
        say("Total"),
        "",
        "",
        number(f"{plan.gpu_hours:,.0f}", lang),
        between(plan.low_hours, plan.high_hours),
        amount(plan.cost),
    ]
    return Table(say("Cost by stage"), head, [*map(row, plan.stages), total], _price(plan, lang), total=True)


def _price(plan: TrainingPlan, lang: str) -> str:
    return number(words(lang)(priced(plan.price)), lang)


def _drawn(plan: TrainingPlan, lang: str) -> list[Section]:
    """The pipeline in time, where there is one."""
    step = plan.step
    if step.layout.pp == 1:
        return []
    from centime.plan.training.layout_report import pipeline_section

    return [pipeline_section(step.layout, step.layout.micro_batches(step.global_batch), step.passes, lang)]


def _searched(plan: TrainingPlan, lang: str) -> list[Section]:
    """The ten fastest layouts, where they were asked for."""
    if plan.search is None:
        return []
    from centime.plan.training.layout_report import search_sections

    return search_sections(plan.search, lang)


def _layout(plan: TrainingPlan, say: Words) -> list[list[str]]:
    layout = plan.step.layout
    rows = [
        ("tensor parallel", layout.tp),
        ("pipeline stages", layout.pp),
        ("chunks a stage", layout.vp),
        ("context parallel", layout.cp),
        ("expert parallel", layout.ep),
        ("replicas", layout.dp),
        ("ZeRO", layout.zero),
        ("micro-batch", layout.micro_batch),
        ("schedule", layout.schedule),
        ("recomputation", layout.recompute),
    ]
    return [[say(name), str(value)] for name, value in rows]
