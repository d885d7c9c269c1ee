"""What a training plan shows: headline figures, Table 1 by stage, the step by part, memory, assumptions, sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from centime.plan.sections import Figure, Figures, Notes, Section, StackedBars, Table, plain
from centime.plan.text import Words, words
from centime.units import format_count, format_money

if TYPE_CHECKING:
    from centime.plan.training import TrainingPlan
    from centime.plan.training_stages import Stage

NAMES = {
    "pretrain": "Pre-training",
    "extension": "Context extension",
    "sft": "Supervised tuning",
    "rl": "Reinforcement learning",
    "post": "Post-training (assumed)",
}


def title(plan: TrainingPlan, lang: str) -> str:
    """'Training DeepSeek-V3 on 14.8 T tokens with 2048 x H800 SXM 80GB'."""
    return words(lang)(
        "Training {model} on {tokens} tokens with {gpus} x {chip}",
        model=plan.arch.name,
        tokens=format_count(plan.request.tokens),
        gpus=plan.request.gpus,
        chip=plan.chip.name,
    )


def sections(plan: TrainingPlan, lang: str) -> list[Section]:
    """The sections, in the language."""
    say = words(lang)
    step = plan.step
    memory = {name: gib for name, gib in step.memory_gib.items() if name != "total"}
    return [
        _figures(plan, say),
        _stages(plan, say),
        StackedBars(
            say("Where a step's time goes"),
            "s",
            [(say("step"), {say(name.replace("_", " ")): s for name, s in step.breakdown_s.items() if s > 0})],
        ),
        Table(
            say("Phases of a step"),
            [say("phase"), "s"],
            [[say(name.replace("_", " ")), f"{s:.2f}"] for name, s in step.phases_s.items()],
        ),
        StackedBars(
            say("Memory of the fullest chip"),
            "GiB",
            [(plan.chip.name, {say(name): gib for name, gib in memory.items()})],
        ),
        Table(say("Layout"), [say("degree"), ""], _layout(plan, say)),
        Notes(say("Assumptions"), [say(line) for line in plan.assumptions]),
        Notes(say("Sources"), list(plan.sources)),
    ]


def _figures(plan: TrainingPlan, say: Words) -> Figures:
    step, currency = plan.step, plan.price.currency
    low, high = plan.low_hours, plan.high_hours
    rate = plan.price.per_device_hour
    span = say("80 %: {low} to {high}", low=format_count(low), high=format_count(high))
    money = say(
        "80 %: {low} to {high}", low=format_money(low * rate, currency), high=format_money(high * rate, currency)
    )
    return Figures(
        [
            Figure(say("GPU-hours"), format_count(plan.gpu_hours, 4), span),
            Figure(say("Cost"), format_money(plan.cost, currency), money),
            Figure(say("Days"), f"{plan.days:.1f}", say("{share:.1%} of them training", share=plan.goodput.share)),
            Figure(say("Step"), f"{step.step_time_s:.2f} s", f"{step.low_s:.2f} – {step.high_s:.2f} s"),
            Figure(say("Speed"), say("{n} tokens/s per GPU", n=plain(step.tokens_per_s_per_gpu))),
            Figure(say("MFU"), f"{step.mfu:.1%}", f"{step.tflops_per_gpu:.0f} TFLOP/s, {step.precision}"),
            Figure(say("Memory"), f"{step.memory_gib['total']:.1f} GiB"),
        ]
    )


def _stages(plan: TrainingPlan, say: Words) -> Table:
    """The shape of table 1 of the DeepSeek-V3 report."""
    rate, currency = plan.price.per_device_hour, plan.price.currency

    def row(stage: Stage) -> list[str]:
        seq = f"{stage.step.seq:,}" if stage.step else "–"
        return [
            say(NAMES[stage.name]),
            format_count(stage.tokens) if stage.tokens else "–",
            seq,
            f"{stage.gpu_hours:,.0f}",
            f"{stage.low_hours:,.0f} – {stage.high_hours:,.0f}",
            format_money(stage.gpu_hours * rate, currency),
        ]

    head = [say("stage"), say("tokens"), say("sequence"), say("GPU-hours"), say("80 % interval"), currency]
    total = [
        say("Total"),
        "",
        "",
        f"{plan.gpu_hours:,.0f}",
        f"{plan.low_hours:,.0f} – {plan.high_hours:,.0f}",
        format_money(plan.cost, currency),
    ]
    return Table(say("Cost by stage"), head, [*map(row, plan.stages), total], str(plan.price), total=True)


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
