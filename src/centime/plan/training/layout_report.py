"""What the page and the terminal show of pipelines and of the search for a layout."""

from __future__ import annotations

from centime.plan.layouts.search import SearchResult
from centime.plan.show.language import number, words
from centime.plan.show.sections import Section, Span, StackedBars, Table, Timeline, plain
from centime.plan.step import pipeline, schedules
from centime.plan.step.layout import Layout, text

ROUNDS = 3  # of the pipeline: enough to see ramps and steady state


def search_sections(result: SearchResult, lang: str = "en") -> list[Section]:
    """The ten best layouts, and the best one's step beside the runner-up's."""
    say = words(lang)
    best = result.best.seconds
    rows = [
        (
            text(candidate.layout).replace(",", ", "),
            number(f"{candidate.layout.gpus:,}", lang),
            number(f"{candidate.seconds:.3f}", lang),
            number(f"{candidate.tokens_per_s:,.0f}", lang),
            number(f"{candidate.seconds / best - 1:+.1%}", lang),
        )
        for candidate in result.top
    ]
    note = say(
        "{tried} layouts tried, of which {feasible} fit in memory and were priced.",
        tried=number(f"{result.tried:,}", lang),
        feasible=number(f"{result.feasible:,}", lang),
    )
    if result.idle:
        note += " " + say("The best one leaves {idle} of {gpus} chips idle.", idle=result.idle, gpus=result.gpus)
    if not result.complete:
        note += " " + say("The search ran out of time.")
    head = [say("Layout"), say("Chips"), say("Step (s)"), say("Tokens/s"), say("Slower by")]
    sections: list[Section] = [Table(say("Fastest layouts"), head, rows, note)]
    if result.runner_up_parts:
        bars = [
            (say("best"), _translated(result.times[0].parts, lang)),
            (say("runner-up"), _translated(result.runner_up_parts, lang)),
        ]
        title = say("A step of the best layout and of the runner-up")
        sections.append(
            StackedBars(title, "s", bars, lambda value: number(plain(value), lang), number(say(result.why()), lang))
        )
    return sections


def _translated(breakdown: dict[str, float], lang: str) -> dict[str, float]:
    say = words(lang)
    return {say(name.replace("_", " ")): seconds for name, seconds in breakdown.items() if seconds}


def pipeline_section(layout: Layout, micro_batches: int, passes: pipeline.Passes, lang: str = "en") -> Timeline:
    """The layout's schedule drawn in time, at most `ROUNDS` rounds of it. passes: of a whole stage."""
    say = words(lang)
    shown = min(micro_batches, ROUNDS * layout.pp - (ROUNDS * layout.pp) % 2 or 1)
    pipe = pipeline.Pipeline(layout.schedule, layout.pp, layout.vp, shown)
    drawn = pipeline.simulate(pipe, passes.cut(schedules.path_chunks(layout.schedule, layout.vp)))
    kinds = {
        "F": say("forward"),
        "B": say("gradient of inputs"),
        "W": say("gradient of weights"),
        "BW": say("backward"),
        "FB": say("forward and backward overlapped"),
    }
    lanes: list[tuple[str, list[Span]]] = [(say("stage {n}", n=stage + 1), []) for stage in range(layout.pp)]
    for event in drawn.events:
        lanes[event.stage][1].append(Span(event.start, event.end, kinds[event.kind]))
    note = ""
    if shown < micro_batches:
        note = say("{shown} of a step's {all} micro-batches.", shown=shown, all=micro_batches)
    return Timeline(say("The pipeline in time"), "s", lanes, lambda value: number(plain(value), lang), note)
