"""What `centime plan check` shows: the sums, the groups, the worst rows, and what it could not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from centime.plan.check.plan import Check, sums
from centime.plan.check.row_prediction import RowPrediction
from centime.plan.show.language import number, words
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table

WORST = 10


def title(check: Check, lang: str) -> str:
    """The file and what kind of runs it holds."""
    say = words(lang)
    kind = say("training runs") if check.file.schema.kind == "train" else say("serving runs")
    return say("{kind} of {file}, predicted", kind=kind[0].upper() + kind[1:], file=check.path.name)


def sections(check: Check, lang: str) -> list[Section]:
    """Everything, in the order of interest."""
    say = words(lang)
    total = sums(check.rows)
    out: list[Section] = [_head(check, total, lang), _groups(check, total, lang)]
    worst = sorted((row for row in check.rows if row.answered), key=lambda row: -abs(row.error or 0))[:WORST]
    if worst:
        out.append(_rows(say("The rows furthest off"), worst, lang))
    out += _baselines(check, lang)
    out += _production(check, lang)
    reasons = Counter(row.reason for row in check.rows if row.reason)
    if reasons:
        ids = {reason: [row.id for row in check.rows if row.reason == reason] for reason in reasons}
        lines = [f"{_some(ids[reason])}: {reason}" for reason, _ in reasons.most_common()]
        out.append(Notes(say("Not answered"), lines))
    return out


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:6]) + (f" (+{len(ids) - 6})" if len(ids) > 6 else "")


def _share(value: float | None, lang: str, *, sign: bool = False) -> str:
    return "–" if value is None else number(f"{100 * value:+.1f} %" if sign else f"{100 * value:.1f} %", lang)


def _amount(value: float | None, lang: str) -> str:
    return "–" if value is None else number(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}", lang)


def _head(check: Check, total: Mapping[str, Any], lang: str) -> Figures:
    say = words(lang)
    answered = f"{total['answered']} / {total['n']}"
    return Figures(
        [
            Figure(say("Rows answered"), answered, say("of those that state a speed or a latency")),
            Figure(
                say("Median error"),
                _share(total["median_abs_error"], lang),
                say("90 % of rows within {p90}", p90=_share(total["p90_abs_error"], lang)),
            ),
            Figure(say("Bias"), _share(total["bias"], lang, sign=True), say("median of predicted / actual - 1")),
            Figure(
                say("80 % intervals cover"),
                _share(total["coverage80"], lang),
                say("of rows, {width} to either side", width=_share(total["median_width"], lang)),
            ),
        ]
    )


def _groups(check: Check, total: Mapping[str, Any], lang: str) -> Table:
    say = words(lang)
    head = ["", say("rows"), say("answered"), say("median error"), say("90 % within"), say("bias"), say("covered"), "±"]
    named = [*check.groups.items(), (say("All"), total)]
    rows = [
        [
            name,
            str(of["n"]),
            str(of["answered"]),
            _share(of["median_abs_error"], lang),
            _share(of["p90_abs_error"], lang),
            _share(of["bias"], lang, sign=True),
            _share(of["coverage80"], lang),
            _share(of["median_width"], lang),
        ]
        for name, of in named
    ]
    return Table(say("By source"), head, rows, total=True)


def _rows(heading: str, rows: list[RowPrediction], lang: str) -> Table:
    say = words(lang)
    return Table(
        heading,
        [say("row"), say("predicted"), say("interval"), say("actual"), say("unit"), say("error")],
        [
            [
                row.id,
                _amount(row.predicted, lang),
                f"{_amount(row.low, lang)} – {_amount(row.high, lang)}",
                _amount(row.actual, lang),
                row.unit,
                _share(row.error, lang, sign=True),
            ]
            for row in rows
        ],
    )


def _baselines(check: Check, lang: str) -> list[Section]:
    say = words(lang)
    out: list[Section] = []
    noise = check.noise
    if noise["pairs"]:
        text = say(
            "{n} configurations are repeated in the file, alike but for software and source; two runs of one differ by "
            "{spread} in the median.",
            n=noise["configurations"],
            spread=_share(noise["median_abs_log_ratio"], lang),
        )
        out.append(Notes(say("Noise floor"), [text]))
    names = {
        "with_replicate": say("the model ran on this chip in another row"),
        "without_replicate": say("alone with its model and chip"),
        "cell_left_out": say("every row, from other models or chips only"),
    }
    rows = [
        [names[name], str(of["n"]), _share(of["median_abs_error"], lang), _share(of["planner_median_abs_error"], lang)]
        for name, of in check.look_up.items()
        if of["n"]
    ]
    if rows:
        head = ["", say("rows"), say("nearest row"), say("planner")]
        out.append(Table(say("Against the nearest row of the file: median error"), head, rows))
    return out


def _production(check: Check, lang: str) -> list[Section]:
    say = words(lang)
    if not check.production:
        return []
    rows = [
        [
            f"{run.id} {run.model}",
            run.gpu,
            _amount(run.predicted_gpu_hours, lang),
            _amount(run.stated_gpu_hours, lang),
            number(f"{run.ratio:.2f}", lang) if run.ratio else run.reason,
        ]
        for run in check.production
    ]
    return [
        Table(
            say("Production runs"),
            ["", say("chip"), say("GPU-hours at the predicted speed"), say("stated"), say("stated / predicted")],
            rows,
            say("Stated hours hold restarts, evaluations and idle time: an upper bound, so that no error is computed."),
        )
    ]
