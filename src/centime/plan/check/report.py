"""What `centime plan check` shows: the sums, the groups, the worst rows, and what it could not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from centime.messages import Writer
from centime.plan.check.plan import Check, sums
from centime.plan.check.ranking_report import ranking_sections
from centime.plan.check.row_prediction import RowPrediction
from centime.plan.show.sections import Figure, Figures, Notes, Section, Table

WORST = 10


def title(check: Check, w: Writer) -> str:
    """The file and what kind of runs it holds."""
    if check.file.schema.kind == "train":
        return w.say("Training runs of {file}, predicted", file=check.path.name)
    return w.say("Serving runs of {file}, predicted", file=check.path.name)


def sections(check: Check, w: Writer) -> list[Section]:
    """Everything, in the order of interest."""
    total = sums(check.rows)
    out: list[Section] = [_head(check, total, w), _groups(check, total, w)]
    worst = sorted((row for row in check.rows if row.answered), key=lambda row: -abs(row.error or 0))[:WORST]
    if worst:
        out.append(_rows(w.say("The rows furthest off"), worst, w))
    if check.ranking:
        out += ranking_sections(check.ranking, w)
    out += _baselines(check, w)
    out += _production(check, w)
    reasons = Counter(row.reason for row in check.rows if row.reason)
    if reasons:
        ids = {reason: [row.id for row in check.rows if row.reason == reason] for reason in reasons}
        lines = [w.say("{name}: {what}", name=_some(ids[reason]), what=reason) for reason, _ in reasons.most_common()]
        out.append(Notes(w.say("Not answered"), lines))
    return out


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:6]) + (f" (+{len(ids) - 6})" if len(ids) > 6 else "")


def _share(w: Writer, value: float | None, spec: str = ".1f") -> str:
    return "–" if value is None else w.percent(value, spec)


def _amount(w: Writer, value: float | None) -> str:
    return "–" if value is None else w.number(value, ",.0f" if abs(value) >= 1000 else ".4g")


def _head(check: Check, total: Mapping[str, Any], w: Writer) -> Figures:
    answered = f"{total['answered']} / {total['n']}"
    return Figures(
        [
            Figure(w.say("Rows answered"), answered, w.say("of those that state a speed or a latency")),
            Figure(
                w.say("Median error"),
                _share(w, total["median_abs_error"]),
                w.say("90 % of rows within {p90}", p90=_share(w, total["p90_abs_error"])),
            ),
            Figure(w.say("Bias"), _share(w, total["bias"], "+.1f"), w.say("median of predicted / actual - 1")),
            Figure(
                w.say("80 % intervals cover"),
                _share(w, total["coverage80"]),
                w.say("of rows, {width} to either side", width=_share(w, total["median_width"])),
            ),
        ]
    )


def _groups(check: Check, total: Mapping[str, Any], w: Writer) -> Table:
    head = ["", *map(w.say, ("rows", "answered", "median error", "90 % within", "bias", "covered")), "±"]
    named = [*check.groups.items(), (w.say("All"), total)]
    rows = [
        [
            name,
            str(of["n"]),
            str(of["answered"]),
            _share(w, of["median_abs_error"]),
            _share(w, of["p90_abs_error"]),
            _share(w, of["bias"], "+.1f"),
            _share(w, of["coverage80"]),
            _share(w, of["median_width"]),
        ]
        for name, of in named
    ]
    return Table(w.say("By source"), head, rows, total=True)


def _rows(heading: str, rows: list[RowPrediction], w: Writer) -> Table:
    return Table(
        heading,
        [w.say("row"), w.say("predicted"), w.say("interval"), w.say("actual"), w.say("unit"), w.say("error")],
        [
            [
                row.id,
                _amount(w, row.predicted),
                f"{_amount(w, row.low)} – {_amount(w, row.high)}",
                _amount(w, row.actual),
                w.say(row.unit),
                _share(w, row.error, "+.1f"),
            ]
            for row in rows
        ],
    )


def _baselines(check: Check, w: Writer) -> list[Section]:
    out: list[Section] = []
    noise = check.noise
    if noise["pairs"]:
        text = w.say(
            "{n} configurations are repeated in the file, alike but for software and source; two runs of one differ by "
            "{spread} in the median.",
            n=noise["configurations"],
            spread=_share(w, noise["median_abs_log_ratio"]),
        )
        out.append(Notes(w.say("Noise floor"), [text]))
    names = {
        "with_replicate": w.say("the model ran on this chip in another row"),
        "without_replicate": w.say("alone with its model and chip"),
        "cell_left_out": w.say("every row, from other models or chips only"),
    }
    rows = [
        [names[name], str(of["n"]), _share(w, of["median_abs_error"]), _share(w, of["planner_median_abs_error"])]
        for name, of in check.nearest.items()
        if of["n"]
    ]
    if rows:
        head = ["", w.say("rows"), w.say("nearest row"), w.say("planner")]
        out.append(Table(w.say("Against the nearest row of the file: median error"), head, rows))
    if check.peer:
        told = check.peer.to_json()
        named = {"planner": w.say("planner"), "peer": check.peer.name}
        named["nearest_row"] = w.say("the nearest row of another model or chip")
        out.append(
            Table(
                w.say("Beside {name}, on the rows that both answer", name=check.peer.name),
                ["", w.say("rows"), w.say("median error"), w.say("90 % within")],
                [
                    [name, str(told["n"]), *(_share(w, told[key][of]) for of in ("median_abs_error", "p90_abs_error"))]
                    for key, name in named.items()
                ],
            )
        )
    return out


def _production(check: Check, w: Writer) -> list[Section]:
    if not check.production:
        return []
    rows = [
        [
            f"{run.id} {run.model}",
            run.gpu,
            _amount(w, run.predicted_gpu_hours),
            _amount(w, run.stated_gpu_hours),
            w.number(run.ratio, ".2f") if run.ratio else run.reason,
        ]
        for run in check.production
    ]
    return [
        Table(
            w.say("Production runs"),
            ["", *map(w.say, ("chip", "GPU-hours at the predicted speed", "stated", "stated / predicted"))],
            rows,
            w.say(
                "Stated hours hold restarts, evaluations and idle time: an upper bound, so that no error is computed."
            ),
        )
    ]
