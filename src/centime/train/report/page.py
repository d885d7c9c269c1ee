"""`report.html` at the end of a run: one file, no network, made of the run folder and the ledger's bill alone.

Reads `metrics.jsonl` (a JSON object a line, see docs/train.md), `recipe.toml`, `samples.jsonl` ({"stage", "tokens",
"prompt", "text"}) and, when no bill is passed, `bill.json`; whatever is absent is left out of the page.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from centime import units
from centime.charts.draw import draw_chart
from centime.charts.heat_map import ABOVE, BELOW, load_image
from centime.charts.lines import MOST_POINTS
from centime.charts.page import render as render_page
from centime.charts.tables import as_table
from centime.files.output import Output
from centime.files.pages import is_page
from centime.ledger.billing import stage_name, state_in_words
from centime.train.report.bill import bill_table, plan_table
from centime.train.report.figures import count_of, figures_of, is_finite
from centime.train.report.read import Record, RecordedRun, read_run

_COLUMNS = 160  # of an expert-load picture, evenly spaced in tokens


def write_report(folder: Path, bill: Mapping[str, Any] | None = None) -> Path:
    """Writes `folder`/report.html and returns its path. `bill` is the ledger's bill of this run in its JSON shape.

    Raises UserError when the folder has no metrics.jsonl or cannot be written to.
    """
    page = render(read_run(folder, bill))
    path = folder / "report.html"
    Output(path, "a page", "move what is there elsewhere", is_page).write_text(page)
    return path


def render(run: RecordedRun) -> str:
    """The page as text."""
    figures = figures_of(run)
    lines = [line for figure in figures for _, chart in figure.panels for line in chart.lines]
    return render_page(
        "train/report/report.html.jinja",
        lang="en",
        title=run.folder.resolve().name,
        facts=_facts(run),
        summary=_summary(run),
        figures=[
            (f.title, [(name, draw_chart(chart, script=True), as_table(chart)) for name, chart in f.panels])
            for f in figures
        ],
        split=any(len(f.panels) > 1 for f in figures),
        banded=any(len(line.points) > MOST_POINTS and not line.dots for line in lines),
        loads=_loads(run),
        below=" ".join(map(str, BELOW)),
        above=" ".join(map(str, ABOVE)),
        bill=bill_table(run.bill) if run.bill else None,
        plan=plan_table(run.bill) if run.bill else None,
        state=state_in_words((run.bill or {}).get("plan") or {}),
        samples=[_sample(s) for s in run.samples],
        recipe=run.recipe,
    )


def _summary(run: RecordedRun) -> str:
    """One sentence under the title."""
    if not run.steps:
        return "No step was recorded."
    stages = [stage_name(s) for s in dict.fromkeys(r["stage"] for r in run.steps)]
    stages = [name[:1].lower() + name[1:] for name in stages]
    return f"{units.plural(len(run.steps), 'step')} of {', then '.join(stages)}, written by centime."


def _sample(record: Record) -> Record:
    """A sample with the line above it."""
    at = f" after {count_of(record['tokens'])} tokens" if is_finite(record.get("tokens")) else ""
    label = f"{stage_name(str(record.get('stage') or ''))}{at}".strip() or "Sample"
    return {"label": label, "prompt": str(record.get("prompt") or ""), "text": str(record.get("text") or "")}


def _facts(run: RecordedRun) -> list[tuple[str, str, str]]:
    """The head of the page: (label, figure, small print)."""
    out: list[tuple[str, str, str]] = []
    total = (run.bill or {}).get("total") or {}
    if run.steps:
        tokens = run.steps[-1]["tokens"]
        out.append(("Tokens trained", units.format_count(tokens), "all stages, as often as they were read"))
    held_out = [r for r in run.evaluations if is_finite(r.get("eval_bits_per_byte"))]
    if held_out:
        best, last = min(held_out, key=lambda r: float(r["eval_bits_per_byte"])), held_out[-1]["eval_bits_per_byte"]
        where = f"lowest, after {count_of(best['tokens'])} tokens; last {last:.3f}"
        out.append(("Held-out bits per byte", f"{best['eval_bits_per_byte']:.3f}", where))
    if is_finite(total.get("device_hours")):
        out.append(("Device time", units.format_device_time(total["device_hours"] * 3600), "as the ledger has it"))
    if run.bill and is_finite(total.get("cost")):
        money, date = units.format_money(total["cost"], run.bill["currency"]), run.bill.get("price_date")
        out.append(("Cost", money, f"prices of {date}" if date else "at the price given"))
    skipped = sum(bool(r.get("skipped")) for r in run.steps)
    if skipped:
        out.append(("Steps skipped", str(skipped), "their loss or gradient was not finite"))
    return out


def _loads(run: RecordedRun) -> list[dict[str, Any]]:
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
                "first": count_of(chosen[0]["tokens"]),
                "last": count_of(chosen[-1]["tokens"]),
            }
        )
    return out
