"""What a training plan shows: headline figures, Table 1 by stage, the step by part, memory, assumptions, sources."""

from __future__ import annotations

from centime.catalogue.hourly_prices import how_old
from centime.messages import Writer
from centime.plan.counts.adapters import adapter_sizes
from centime.plan.counts.architecture import count_architecture
from centime.plan.show.parameters import parameters_figure
from centime.plan.show.sections import Figure, Figures, Notes, Section, StackedBars, Table
from centime.plan.training.first_run import COUNTED, note
from centime.plan.training.layout_report import pipeline_section, search_sections
from centime.plan.training.plan import TrainingPlan
from centime.plan.training.stages import PlannedStage

NAMES = {
    "pretrain": "Pre-training",
    "adapters": "Tuning of adapters",
    "extension": "Context extension",
    "sft": "Supervised tuning",
    "rl": "Reinforcement learning",
    "post": "Post-training (assumed)",
}

PARTS = {
    "rollouts": "of these, rollouts",
    "scoring": "of these, scoring by old and reference policy",
    "updates": "of these, updates",
}

PHASES = {
    "forward_1f": "forward alone (1F)",
    "backward_1b": "backward alone (1B)",
    "weight_1w": "weight gradient alone (1W)",
    "steady_1f1b": "steady state (1F1B)",
    "bubble": "bubble",
    "optimizer": "optimizer",
}


def title(plan: TrainingPlan, w: Writer) -> str:
    """'Training DeepSeek-V3 on 14.8 T tokens with 2,048 x H800 SXM 80GB'."""
    return w.say(
        "Training {model} on {tokens:count} tokens with {gpus:,} x {chip}",
        model=plan.arch.name,
        tokens=plan.request.tokens,
        gpus=plan.request.gpus,
        chip=plan.chip.name,
    )


def sections(plan: TrainingPlan, w: Writer) -> list[Section]:
    """The sections, in the language."""
    step = plan.step
    memory = {name: gib for name, gib in step.memory_gib.items() if name != "total"}

    return [
        _figures(plan, w),
        _stages(plan, w),
        *_first_run(plan, w),
        StackedBars(
            w.say("Where a step's time goes"),
            "s",
            [(w.say("step"), {w.say(name.replace("_", " ")): s for name, s in step.breakdown_s.items() if s > 0})],
            w.plain,
            w.say("Whiskers: 80 %."),
            {w.say("step"): (step.low_s, step.high_s)},
        ),
        Table(w.say("Phases of a step"), [w.say("phase"), "s"], _phases(plan, w)),
        StackedBars(
            w.say("Memory of the fullest chip"),
            w.say("GiB"),
            [(plan.chip.name, {w.say(name): gib for name, gib in memory.items()})],
            w.plain,
        ),
        Table(w.say("Layout"), [w.say("degree"), ""], _layout(plan, w)),
        *_drawn(plan, w),
        *_searched(plan, w),
        Notes(w.say("Assumptions"), [w.say(line) for line in plan.assumptions]),
        Notes(w.say("Sources"), [w.say(line) for line in (*plan.sources, *how_old([plan.price]))]),
    ]


def _money(w: Writer, value: float, currency: str) -> str:
    """Whole units from a thousand on: nobody knows the cents of a plan."""
    return w.money(value, currency, ",.0f" if value >= 1000 else "")


def _figures(plan: TrainingPlan, w: Writer) -> Figures:
    step, rate, currency = plan.step, plan.price.per_device_hour, plan.price.currency
    low, high = plan.low_hours, plan.high_hours
    ends = [_money(w, hours * rate, currency) for hours in (low, high)]
    speed = w.say(
        "of the bf16 peak; {rate} TFLOP/s, {precision}", rate=w.plain(step.tflops_per_gpu), precision=step.precision
    )
    params = count_architecture(plan.arch).said()
    return Figures(
        [
            Figure(
                w.say("GPU-hours"),
                w.count(plan.gpu_hours, 4),
                w.say("80 %: {low:count} to {high:count}", low=low, high=high),
            ),
            Figure(
                w.say("Cost"), _money(w, plan.cost, currency), w.say("80 %: {low} to {high}", low=ends[0], high=ends[1])
            ),
            Figure(
                w.say("Days"),
                w.number(plan.days, ".1f"),
                w.say("{share:.1%} of them training", share=plan.goodput.share),
            ),
            Figure(
                w.say("Step"),
                w.quantity(step.step_time_s, ".2f", "s"),
                f"{w.number(step.low_s, '.2f')} – {w.quantity(step.high_s, '.2f', 's')}",
            ),
            Figure(w.say("Speed"), w.plain(step.tokens_per_s_per_gpu), w.say("tokens/s per GPU")),
            Figure(w.say("MFU"), w.number(step.mfu, ".1%"), speed),
            Figure(w.say("Memory"), w.quantity(step.memory_gib["total"], ".1f", "GiB")),
            parameters_figure(params, w),
            *_adapters(plan, w),
            *_taken_back(plan, w),
        ]
    )


def _taken_back(plan: TrainingPlan, w: Writer) -> list[Figure]:
    """What interruptions of a spot market cost, and what the run would on demand."""
    if plan.request.market != "spot":
        return []
    rate, currency, long = plan.price.per_device_hour, plan.price.currency, plan.goodput
    how = w.say(
        "{share:.1%} of the time; every {hours:.2g} hours, a checkpoint every {minutes:.2g} minutes",
        share=1 - long.share,
        hours=long.hours_between_interruptions,
        minutes=60 * long.hours_between_checkpoints,
    )
    found = [Figure(w.say("Lost to interruptions"), _money(w, plan.lost_hours * rate, currency), how)]
    if plan.on_demand is not None and plan.cost_on_demand is not None:
        hour = w.say(
            "{price:money} per device-hour, {date:date}", price=plan.on_demand.amount, date=plan.on_demand.date
        )
        found.append(Figure(w.say("The same on demand"), _money(w, plan.cost_on_demand, currency), hour))
    return found


def _adapters(plan: TrainingPlan, w: Writer) -> list[Figure]:
    """What is trained, where that is not the model."""
    if plan.request.lora is None:
        return []
    sizes, params = adapter_sizes(plan.arch, plan.request.lora), count_architecture(plan.arch).total_params
    of = w.say("{share:.2%} of the model's, rank {rank}", share=sizes.parameters / params, rank=plan.request.lora.rank)
    return [Figure(w.say("Trained parameters"), w.count(sizes.parameters), of)]


def _stages(plan: TrainingPlan, w: Writer) -> Table:
    """The shape of table 1 of the DeepSeek-V3 report."""
    rate, currency = plan.price.per_device_hour, plan.price.currency

    def between(low: float, high: float) -> str:
        return f"{w.number(low, ',.0f')} – {w.number(high, ',.0f')}" if high > low else "–"

    def amount(value: float) -> str:
        return w.number(value, ",.0f" if value >= 1000 else ",.2f")

    def row(stage: PlannedStage) -> list[str]:
        return [
            w.say(NAMES[stage.name]),
            w.count(stage.tokens) if stage.tokens else "–",
            w.number(stage.step.seq) if stage.step and stage.name != "rl" else "–",
            w.number(stage.gpu_hours, ",.0f"),
            between(stage.low_hours, stage.high_hours),
            amount(stage.gpu_hours * rate),
        ]

    head = [w.say("stage"), w.say("tokens"), w.say("sequence"), w.say("GPU-hours"), w.say("80 % interval"), currency]
    total = [
        w.say("Total"),
        "",
        "",
        w.number(plan.gpu_hours, ",.0f"),
        between(plan.low_hours, plan.high_hours),
        amount(plan.cost),
    ]
    rows = []
    for stage in plan.stages:
        rows.append(row(stage))
        low, high = (end / max(stage.gpu_hours, 1e-9) for end in (stage.low_hours, stage.high_hours))
        for name, hours in stage.parts.items():
            span = between(hours * low, hours * high)
            rows.append([w.say(PARTS[name]), "", "", w.number(hours, ",.0f"), span, amount(hours * rate)])
    rows.append(total)
    return Table(w.say("Cost by stage"), head, rows, w.say(plan.price.sentence()), total=True)


def _first_run(plan: TrainingPlan, w: Writer) -> list[Section]:
    """What is around a first run, apart from the tuned figures, where it is asked for."""
    if not plan.request.first_run:
        return []
    rate, currency = plan.price.per_device_hour, plan.price.currency
    rows = [
        [
            one.who,
            f"x {w.number(one.factor, '.2g')}",
            w.number(one.factor * plan.gpu_hours, ",.0f"),
            _money(w, one.factor * plan.gpu_hours * rate, currency),
        ]
        for one in COUNTED
    ]
    head = [w.say("as counted by"), w.say("factor"), w.say("GPU-hours"), w.say("cost")]
    lines = [w.say("{name}: {source}", name=one.who, source=one.source) for one in COUNTED]
    return [Table(w.say("With what a first run takes besides"), head, rows, w.say(note())), Notes("", lines)]


def _phases(plan: TrainingPlan, w: Writer) -> list[list[str]]:
    """The phases that the schedule has; without a pipeline forwards and backwards take turns."""
    names = PHASES if plan.step.layout.pp > 1 else PHASES | {"steady_1f1b": "forward and backward in turn"}
    return [[w.say(names[name]), w.number(s, ".2f")] for name, s in plan.step.phases_s.items() if s > 0]


def _drawn(plan: TrainingPlan, w: Writer) -> list[Section]:
    """The pipeline in time, where there is one."""
    step = plan.step
    if step.layout.pp == 1:
        return []
    return [pipeline_section(step.layout, step.layout.micro_batches(step.global_batch), step.passes, w)]


def _searched(plan: TrainingPlan, w: Writer) -> list[Section]:
    """The ten fastest layouts, where they were asked for."""
    if plan.search is None:
        return []
    return search_sections(plan.search, w)


def _layout(plan: TrainingPlan, w: Writer) -> list[list[str]]:
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
    return [[w.say(name), w.say(value) if isinstance(value, str) else w.number(value)] for name, value in rows]
