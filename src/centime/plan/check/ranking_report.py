"""What `centime plan check --ranking` shows: the pairs of chips, those put the wrong way round, and every load."""

from __future__ import annotations

from centime.messages import Writer
from centime.plan.check.ranking import DIFFERENT, RankedChip, RankedLoad, Ranking
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table


def ranking_sections(ranked: Ranking, w: Writer) -> list[Section]:
    """The ranking, in the order of interest."""
    found = ranked.to_json()
    error = found["median_abs_error"]
    out: list[Section] = [
        Figures(
            [
                Figure(
                    w.say("Pairs of chips in the right order"),
                    f"{found['right']} / {found['pairs']}",
                    w.say("of those that differ by more than {times} times", times=w.number(DIFFERENT, ".1f")),
                ),
                Figure(
                    w.say("Median error of the best rate"),
                    "–" if error is None else w.percent(error, ".1f"),
                    w.say("of the planner's own best layout"),
                ),
            ]
        ),
        Table(
            w.say("Best output tokens/s a chip: planned / measured"),
            [w.say("load"), w.say("tokens/s a user"), w.say("chips, best measured first")],
            [
                [_load(load, w), w.number(load.user_speed, ",.0f"), _chips(load.chips, w)]
                for load in ranked.loads
            ],
        ),
    ]  # fmt: skip
    wrong = [
        w.say(
            "{load}, {speed} tokens/s a user: {better} is measured ahead of {worse}, and planned behind it "
            "({layout} against {other}).",
            load=_load(load, w),
            speed=w.number(load.user_speed, ",.0f"),
            better=better.chip,
            worse=worse.chip,
            layout=better.layout or w.say("no layout"),
            other=worse.layout,
        )
        for load in ranked.loads
        for better, worse, right in load.pairs()
        if not right
    ]
    return [*out, Notes(w.say("In the wrong order"), wrong)] if wrong else out


def _load(load: RankedLoad, w: Writer) -> str:
    return f"{load.model}, {w.number(load.isl, ',.0f')} / {w.number(load.osl, ',.0f')}"


def _chips(chips: tuple[RankedChip, ...], w: Writer) -> str:
    return "; ".join(
        f"{chip.chip} {'–' if chip.planned is None else w.number(chip.planned, ',.0f')} / "
        f"{w.number(chip.measured, ',.0f')}"
        for chip in sorted(chips, key=lambda chip: -chip.measured)
    )
