"""`report.html` at the end of a run: one file, no network, made of the run folder and the ledger's bill alone.

Reads `metrics.jsonl` (a JSON object a line, see docs/train.md), `recipe.toml`, `samples.jsonl` ({"stage", "tokens",
"prompt", "text"}) and, when no bill is passed, `bill.json`; whatever is absent is left out of the page.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from centime import units
from centime.errors import UserError
from centime.train.charts import MOST_POINTS, Chart, Point, Series, line_chart, load_image
from centime.train.report_bill import bill_table, plan_table, stage_name
from centime.whole import whole_file

Record = dict[str, Any]
_COLUMNS = 160  # of an expert-load picture, evenly spaced in tokens


@dataclass(frozen=True)
class Run:
    """What a run folder says. `steps` and `evaluations` are in order, with `tokens` counted through all stages."""

    folder: Path
    steps: list[Record]
    evaluations: list[Record]
    samples: list[Record]
    recipe: str
    bill: Mapping[str, Any] | None
    starts: list[tuple[float, str]] = field(default_factory=list)  # tokens at which each stage but the first begins


def write_report(folder: Path, bill: Mapping[str, Any] | None = None) -> Path:
    """Writes `folder`/report.html and returns its path. `bill` is the ledger's bill of this run in its JSON shape.

    Raises UserError when the folder has no metrics.jsonl or cannot be written to.
    """
    page = render(read_run(folder, bill))
    path = folder / "report.html"
    try:
        with whole_file(path) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); free the disk or mend its rights.") from error
    return path


def read_run(folder: Path, bill: Mapping[str, Any] | None = None) -> Run:
    """The run folder as data. A step repeated after a resume counts once, as last done; a torn line is left out.

    Raises UserError when the folder has no metrics.jsonl.
    """
    metrics = folder / "metrics.jsonl"
    if not metrics.is_file():
        raise UserError(f"{metrics} does not exist; give the folder of a run that `centime train` has begun.")
    records = _lines(metrics)
    steps = {(r["stage"], r["step"]): r for r in records if "loss" in r}
    evaluations = {(r["stage"], r["step"]): r for r in records if "eval_loss" in r}
    offsets, starts = _stage_offsets(list(steps.values()))
    for record in (*steps.values(), *evaluations.values()):
        record["tokens"] += offsets.get(record["stage"], 0)
    if bill is None and (folder / "bill.json").is_file():
        bill = json.loads((folder / "bill.json").read_text(encoding="utf-8"))
    recipe, samples = folder / "recipe.toml", folder / "samples.jsonl"
    return Run(
        folder,
        list(steps.values()),
        list(evaluations.values()),
        _lines(samples) if samples.is_file() else [],
        recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        bill,
        starts,
    )


def _lines(path: Path) -> list[Record]:
    """The JSON objects of a .jsonl file; a line cut short by a kill is skipped."""
    out = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            out.append(record)
    return out


def _stage_offsets(steps: Sequence[Record]) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """How many tokens came before each stage whose own count begins again, and where every later stage begins."""
    offsets: dict[str, float] = {}
    starts: list[tuple[float, str]] = []
    reached = 0.0
    for record in steps:
        stage = record["stage"]
        if stage not in offsets:
            offsets[stage] = reached if record["tokens"] <= reached else 0.0
            if len(offsets) > 1:
                starts.append((reached, stage))
        reached = max(reached, offsets[stage] + record["tokens"])
    return offsets, starts


def render(run: Run) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("centime.train", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.jinja")
    charts = _charts(run)
    return template.render(
        name=run.folder.resolve().name,
        facts=_facts(run),
        summary=_summary(run),
        charts=[(c.title, c.unit, Markup(line_chart(c)), _legend(c), _table(c)) for c in charts],
        banded=any(len(s.points) > MOST_POINTS and not s.dots for c in charts for s in c.series),
        loads=_loads(run),
        bill=bill_table(run.bill) if run.bill else None,
        plan=plan_table(run.bill) if run.bill else [],
        samples=[_sample(s) for s in run.samples],
        recipe=run.recipe,
    )


def _summary(run: Run) -> str:
    """One sentence under the title."""
    if not run.steps:
        return "No step was recorded."
    stages = [stage_name(s).lower() for s in dict.fromkeys(r["stage"] for r in run.steps)]
    return f"{len(run.steps):,} steps of {', then '.join(stages)}, written by centime."


def _sample(record: Record) -> Record:
    """A sample with the line above it."""
    at = f" after {_count(record['tokens'])} tokens" if _finite(record.get("tokens")) else ""
    label = f"{stage_name(str(record.get('stage') or ''))}{at}".strip() or "Sample"
    return {"label": label, "prompt": str(record.get("prompt") or ""), "text": str(record.get("text") or "")}


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _points(records: Sequence[Record], key: str) -> list[Point]:
    """(tokens, value) wherever `key` was recorded as a finite number."""
    return [(float(r["tokens"]), float(r[key])) for r in records if _finite(r.get(key))]


def _short(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


def _scientific(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e").replace(".00e", "e")


def _count(value: float) -> str:
    """A count for a tick: 1.5 M, not 1.50 M."""
    number, _, scale = units.format_count(value).partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {scale}".strip()


def _charts(run: Run) -> list[Chart]:
    """Every curve for which the run has numbers."""
    currency = (run.bill or {}).get("currency") or "USD"
    span = (0.0, float(run.steps[-1]["tokens"])) if run.steps else None

    def chart(
        title: str,
        unit: str,
        lines: dict[str, str],
        format_y: Callable[[float], str],
        evaluation: str = "",
        **more: Any,
    ) -> Chart:
        series = [Series(name, _points(run.steps, key), i) for i, (key, name) in enumerate(lines.items())]
        if evaluation:
            series.append(Series("held-out", _points(run.evaluations, evaluation), tone=2, dots=True))
        marks = [(at, stage) for at, stage in run.starts]
        return Chart(title, unit, [s for s in series if s.points], format_y, _count, marks=marks, span=span, **more)

    def money(value: float) -> str:
        return units.format_money(value, currency)

    def percent(value: float) -> str:
        return f"{100 * value:.3g} %"

    losses, imbalance = {"main_loss": "next token", "mtp_loss": "MTP"}, "most loaded expert over the mean, minus 1"
    every = [
        chart("Loss", "nats per token", losses, _short(2), "eval_loss"),
        chart("Bits per byte", "of text", {"bits_per_byte": "training"}, _short(2), "eval_bits_per_byte"),
        chart("Learning rate", "per step", {"lr": "learning rate"}, _scientific, from_zero=True),
        chart("Gradient norm", "before clipping", {"grad_norm": "gradient norm"}, lambda v: f"{v:.3g}"),
        chart("Speed", "tokens per second", {"tokens_per_s": "tokens per second"}, _count, from_zero=True),
        chart("MFU", "model FLOPs over the device's peak", {"mfu": "MFU"}, percent, from_zero=True),
        chart("Expert imbalance", imbalance, {"max_violation": "imbalance"}, _short(2), from_zero=True),
        chart("Money spent", currency, {"cost": "spent"}, money, from_zero=True, level=_planned_cost(run.bill)),
    ]
    return [c for c in every if c.series]


def _planned_cost(bill: Mapping[str, Any] | None) -> tuple[float, str] | None:
    cost: Any = (((bill or {}).get("plan") or {}).get("predicted") or {}).get("cost")
    return (float(cost), "plan") if _finite(cost) else None


def _legend(chart: Chart) -> list[tuple[int, str, bool]]:
    """(tone, name, dots) of each series; one series needs none, its title says it."""
    return [(s.tone, s.name, s.dots) for s in chart.series] if len(chart.series) > 1 else []


def _table(chart: Chart) -> tuple[list[str], list[list[str]]]:
    """Head and about a dozen rows of the chart's numbers, for those who read rather than look."""
    longest = max(chart.series, key=lambda s: len(s.points)).points
    rows = sorted({round(i * (len(longest) - 1) / 11) for i in range(12)})
    values = [dict(s.points) for s in chart.series]
    return (
        [chart.x_title, *(s.name for s in chart.series)],
        [
            [
                chart.format_x(longest[i][0]),
                *(chart.format_y(v[longest[i][0]]) if longest[i][0] in v else "–" for v in values),
            ]
            for i in rows
        ],
    )


def _facts(run: Run) -> list[tuple[str, str, str]]:
    """The head of the page: (label, figure, small print)."""
    out: list[tuple[str, str, str]] = []
    total = (run.bill or {}).get("total") or {}
    if run.steps:
        tokens = run.steps[-1]["tokens"]
        out.append(("Tokens trained", units.format_count(tokens), "all stages, as often as they were read"))
    held_out = [r for r in run.evaluations if _finite(r.get("eval_bits_per_byte"))]
    if held_out:
        best, last = min(held_out, key=lambda r: float(r["eval_bits_per_byte"])), held_out[-1]["eval_bits_per_byte"]
        where = f"lowest, after {_count(best['tokens'])} tokens; last {last:.3f}"
        out.append(("Held-out bits per byte", f"{best['eval_bits_per_byte']:.3f}", where))
    if _finite(total.get("device_hours")):
        out.append(("Device time", units.format_duration(total["device_hours"] * 3600), "as the ledger has it"))
    if run.bill and _finite(total.get("cost")):
        money, date = units.format_money(total["cost"], run.bill["currency"]), run.bill.get("price_date")
        out.append(("Cost", money, f"prices of {date}" if date else "at the price given"))
    skipped = sum(bool(r.get("skipped")) for r in run.steps)
    if skipped:
        out.append(("Steps skipped", str(skipped), "their loss or gradient was not finite"))
    return out


def _loads(run: Run) -> list[dict[str, Any]]:
    """A picture and a sentence for each MoE layer; empty when no expert load was recorded."""
    moments = [r for r in run.steps if r.get("expert_load")]
    moments = [r for r in moments if len(r["expert_load"]) == len(moments[-1]["expert_load"])]
    if not moments:
        return []
    tokens = [float(r["tokens"]) for r in moments]
    each = (tokens[-1] - tokens[0]) / (_COLUMNS - 1)
    last_before = [bisect.bisect_right(tokens, tokens[0] + i * each + 1e-6) - 1 for i in range(_COLUMNS)]
    chosen = [moments[i] for i in last_before] if each > 0 else moments[-1:]
    out = []
    for layer in range(len(moments[-1]["expert_load"])):
        columns = []
        for record in chosen:
            load = record["expert_load"][layer]
            mean = sum(load) / len(load) or 1.0
            columns.append([x / mean for x in load])
        last = columns[-1]
        least, most = min(last), max(last)
        idle = sum(x == 0 for x in last)
        said = f"at the end the least loaded expert takes {least:.2f} and the most loaded {most:.2f} times the mean"
        out.append(
            {
                "image": load_image(list(zip(*columns, strict=True))),
                "layer": layer + 1,
                "experts": len(last),
                "said": said + (f"; {idle} take nothing" if idle else ""),
                "first": _count(chosen[0]["tokens"]),
                "last": _count(chosen[-1]["tokens"]),
            }
        )
    return out
