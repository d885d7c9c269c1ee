"""What the page and the terminal show of pipelines and of the search for a layout."""

from __future__ import annotations

from centime.messages import Writer
from centime.plan.layouts.search import SearchResult
from centime.plan.show.sections import Section, Span, StackedBars, Table, Timeline
from centime.plan.step import pipeline, schedules
from centime.plan.step.layout import Layout, text

ROUNDS = 3  # of the pipeline: enough to see ramps and steady state


def search_sections(result: SearchResult, w: Writer) -> list[Section]:
    """The ten best layouts, and the best one's step beside the runner-up's."""
    best = result.best.seconds
    rows = [
        (
            text(candidate.layout).replace(",", ", "),
            w.number(candidate.layout.gpus),
            w.number(candidate.seconds, ".3f"),
            f"{w.number(low, '.3f')} – {w.number(high, '.3f')}",
            w.number(candidate.tokens_per_s, ",.0f"),
            w.number(candidate.seconds / best - 1, "+.1%"),
        )
        for candidate, (low, high) in zip(result.top, result.intervals, strict=True)
    ]
    note = w.say(
        "{tried:,} layouts tried, of which {feasible:,} fit in memory and were priced.",
        tried=result.tried,
        feasible=result.feasible,
    )
    if result.idle:
        note += " " + w.say("The best one leaves {idle} of {gpus} chips idle.", idle=result.idle, gpus=result.gpus)
    if not result.complete:
        note += " " + w.say("The search ran out of time.")
    head = map(w.say, ("Layout", "Chips", "Step (s)", "80 % interval", "Tokens/s", "Slower by"))
    sections: list[Section] = [Table(w.say("Fastest layouts"), [*head], rows, note)]
    if result.runner_up_parts:
        bars = [
            (w.say("best"), _translated(result.times[0].parts, w)),
            (w.say("runner-up"), _translated(result.runner_up_parts, w)),
        ]
        title = w.say("A step of the best layout and of the runner-up")
        note = f"{w.say(result.why())} {w.say('Whiskers: 80 %.')}"
        ends = {label: interval for (label, _), interval in zip(bars, result.intervals, strict=False)}
        sections.append(StackedBars(title, "s", bars, w.plain, note, ends))
    return sections


def _translated(breakdown: dict[str, float], w: Writer) -> dict[str, float]:
    return {w.say(name.replace("_", " ")): seconds for name, seconds in breakdown.items() if seconds}


def pipeline_section(layout: Layout, micro_batches: int, passes: pipeline.Passes, w: Writer) -> Timeline:
    """The layout's schedule drawn in time, at most `ROUNDS` rounds of it. passes: of a whole stage."""
    shown = min(micro_batches, ROUNDS * layout.pp - (ROUNDS * layout.pp) % 2 or 1)
    pipe = pipeline.Pipeline(layout.schedule, layout.pp, layout.vp, shown)
    drawn = pipeline.simulate(pipe, passes.cut(schedules.path_chunks(layout.schedule, layout.vp)))
    kinds = {
        "F": w.say("forward"),
        "B": w.say("gradient of inputs"),
        "W": w.say("gradient of weights"),
        "BW": w.say("backward"),
        "FB": w.say("forward and backward overlapped"),
    }
    lanes: list[tuple[str, list[Span]]] = [(w.say("stage {n}", n=stage + 1), []) for stage in range(layout.pp)]
    for event in drawn:
        lanes[event.stage][1].append(Span(event.start, event.end, kinds[event.kind]))
    note = ""
    if shown < micro_batches:
        note = w.say("{shown} of a step's {all} micro-batches.", shown=shown, all=micro_batches)
    return Timeline(w.say("The pipeline in time"), "s", lanes, w.plain, note)
