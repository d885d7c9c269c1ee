"""Predicts a row of published serving speeds (the schema of serving_runs.csv) from its stated conditions.

Which figure: the first target that the row has, in its source's own convention: Argonne counts input and output
tokens of a static batch, MLPerf the output tokens of a scenario with latency limits, aiconfigurator's anchors the time
per output token at a concurrency. A row that leaves its operating point open (neither batch, limits nor a scenario) is
answered only where the whole memory is the natural one (a stated maximum), else says what is missing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.check.file import SERVING, Row
from centime.plan.check.phases import (
    ServingRow,
    apart,
    at_user_speed,
    best_of_scenario,
    decode,
    engine_of,
    mixed,
    prefill,
)
from centime.plan.check.row_prediction import Figures, RowPrediction, row_prediction
from centime.plan.check.serving_rows import SHORTHAND, RowLayout, mlperf_scenario, number, parse_layout, software
from centime.plan.serving.choice import Lengths
from centime.plan.serving.costs import model_cost
from centime.plan.serving.engine import static_batch
from centime.plan.serving.interval import interval
from centime.plan.serving.speeds import ServingConstants
from centime.plan.serving.units import Unit

WIDEST_TP = 16  # chips that share one attention: more ranks than that are data-parallel


def predict_row(row: Row, values: ServingConstants | None = None) -> RowPrediction:
    """What the planner says of one row; `values`: constants other than the shipped ones."""

    def figures(sealed: Row, target: str) -> Figures:
        case = read_case(sealed)
        found = predict(case, target, values)
        open_layout = open_point(sealed) and not layout_of(case, sealed["phase"].lower())
        far = "neither" if open_layout else ""  # of what layouts its frontier was made is not told
        return found, *interval(case.arch_name, case.chips[0][0], found, target, far)

    return row_prediction(SERVING, row, figures)


def read_case(row: dict[str, str]) -> ServingRow:
    """The row's model, chips and software. Raises UserError naming the column that cannot be read."""
    arch = architecture(_model_name(row), ask_hub=False)
    count = number(row.get("n_gpus"))
    gpus = int(count) if count else 0
    kinds = _chips(row.get("gpu", ""), max(gpus, 1))
    return ServingRow(row, model_cost(arch), kinds, gpus, software(row), arch.is_mixture, arch.name, arch.stored)


def predict(case: ServingRow, target: str, values: ServingConstants | None = None) -> float:
    """The figure in `target`'s unit, over all kinds of chip of the row."""
    shares = [(_one(replace(case, chips=((kind, n),)), target, values), n) for kind, n in case.chips]
    total = case.gpus if case.gpus and target.endswith("per_gpu") else sum(n for _, n in shares)
    return sum(found * n for found, n in shares) / total


def _one(case: ServingRow, target: str, values: ServingConstants | None) -> float:
    row = case.row
    phase = row.get("phase", "").lower()
    scenario = mlperf_scenario(row.get("model", "")) if phase in ("offline", "server", "interactive") else None
    if phase in ("offline", "server", "interactive"):
        if scenario is None:
            raise UserError(f"model {row.get('model')!r}: no MLPerf scenario with its lengths and limits is known.")
        return best_of_scenario(case, scenario, phase, values) * (case.gpus if target == "total_tok_s" else 1)
    if (speed := open_point(row)) and not layout_of(case, phase):
        return _of_frontier(case, speed, target, values)
    layout = _layout(case, phase)
    if "prefill" in phase and target == "input_tok_s_per_gpu":
        return prefill(case, layout, values)
    isl, osl = number(row.get("isl")), number(row.get("osl"))
    batch = number(row.get("concurrency_or_batch"))
    if target == "total_tok_s_per_gpu" or (target == "total_tok_s" and phase == "batch"):
        if not (isl and osl and batch):
            raise UserError("a static batch needs isl, osl and concurrency_or_batch.")
        engine = engine_of(case, layout.unit, values)
        seconds = static_batch(engine, batch / layout.units, isl, osl)
        figure = batch * (isl + osl) / seconds
        return figure / case.gpus if target.endswith("per_gpu") else figure
    if layout.prefill is None and "decode" not in phase and isl and osl:
        return mixed(case, layout, (isl, osl), target, values)
    if target.endswith("_ms"):
        return apart(case, layout, isl, osl, values, target)
    return decode(case, layout, isl, values)


def open_point(row: dict[str, str]) -> float | None:
    """Tokens a second that a user gets, where that is the operating point of a row: it states no load.

    Of a range ('20-22') the middle. The sealed row holds it only where no latency was measured that it derives from.
    """
    ends = [float(end) for end in re.findall(r"\d+(?:\.\d+)?", row.get("tok_s_per_user", ""))]
    return sum(ends) / len(ends) if ends and min(ends) > 0 and not row.get("concurrency_or_batch") else None


def _of_frontier(case: ServingRow, speed: float, target: str, values: ServingConstants | None) -> float:
    """A point of a frontier in the target's unit: input and output tokens, or output alone."""
    isl, osl = number(case.row.get("isl")), number(case.row.get("osl"))
    if not (isl and osl) or target not in ("total_tok_s_per_gpu", "output_tok_s_per_gpu"):
        raise UserError("a point at a speed for users (tok_s_per_user) needs isl, osl and a rate per GPU.")
    rate = at_user_speed(case, Lengths(isl, osl), speed, values)
    return rate * (isl + osl) / osl if target == "total_tok_s_per_gpu" else rate


def chips_of(case: ServingRow) -> float:
    """Chips of all units that a row's layout states, and of the copies of them that its clients beyond a batch are on.

    Raises UserError where it states none.
    """
    layout = _layout(case, case.row.get("phase", "").lower())
    clients, batch = number(case.row.get("concurrency_or_batch")), (layout.batch_per_group or 0) * layout.unit.dp
    units = layout.units * max(1.0, clients / (batch * layout.units) if clients and batch else 1.0)
    return layout.unit.chips * units + (layout.prefill.chips * layout.prefill_units if layout.prefill else 0)


def layout_of(case: ServingRow, phase: str) -> RowLayout | None:
    """The layout that a row states or that follows from its chips; None where neither does."""
    config, domain = case.row.get("config", ""), case.chips[0][0].scaleup_domain or 8
    doubtful = "doubtful" in case.row.get("confidence", "")
    return parse_layout(config, case.gpus, case.mixture, domain, doubtful) or _whole_node(case, phase)


def _layout(case: ServingRow, phase: str) -> RowLayout:
    """The layout that a row states or that follows from its chips. Raises UserError where neither does."""
    layout = layout_of(case, phase)
    if layout is None:
        raise UserError(_no_point(case.row))
    if layout.unit.tp > WIDEST_TP:
        raise UserError(
            f"config states tensor parallelism over {layout.unit.tp} chips, which nobody serves with: how many chips "
            "there were, and not how the model lay on them."
        )
    return layout


def _no_point(row: dict[str, str]) -> str:
    """Why a row without a layout is not answered."""
    if "frontier" in row.get("config", "").lower():
        return "config names a frontier and no layout: its operating point, tok_s_per_user, is not stated."
    return "config and phase name neither a layout nor an operating point: a figure of a page, not of one run."


def _whole_node(case: ServingRow, phase: str) -> RowLayout | None:
    """All chips of a row as one unit, where a source says so ('single node') or names one phase and no layout."""
    config = case.row.get("config", "").lower()
    alone = ("prefill" in phase) != ("decode" in phase)
    if case.gpus and ("single node" in config or (alone and "frontier" not in config)):
        wide = case.gpus
        if case.mixture:
            return RowLayout(Unit(dp=wide, ep=wide, overlapped=wide > 8))
        return RowLayout(Unit(tp=wide)) if wide <= max(case.chips[0][0].scaleup_domain or 1, 8) else None
    if "nodes" in config and phase == "prefill+decode":
        nodes = [int(n) for n in re.findall(r"(\d+)-node", config)]
        wide = 8 * (nodes[-1] if nodes else max(1, case.gpus // 8))
        return RowLayout(Unit(dp=wide, ep=wide, overlapped=True))
    return None


def _chips(text: str, gpus: int) -> tuple[tuple[Chip, int], ...]:
    """'AMD Instinct MI300X (x32), MI325X (x16)' -> both kinds with their numbers."""
    mixed = re.findall(r"([^,]+?)\s*\(x(\d+)\)", text)
    if mixed:
        return tuple((chip(name.strip()), int(n)) for name, n in mixed)
    if not text.strip():
        raise UserError("gpu is blank: no chip, no prediction.")
    board = 2 if re.search(r"\bdual\b", text, re.IGNORECASE) else 1  # of two chips, counted once by sources
    name, each = SHORTHAND.get(text.strip().lower(), (text.strip(), board))
    return ((chip(name), gpus * each),)


def _model_name(row: dict[str, str]) -> str:
    """The model's name without what sources hang on to it: '(2.8T)', '1.6T', MLPerf's accuracy target."""
    name = re.sub(r"\s*\(.*?\)|\s+\d[\d.]*[TB](-A\d+B)?$", "", row.get("model", "").strip())
    return re.sub(r"-99(\.9)?$", "", name.split("/")[0] if name.startswith("DeepSeek-V3/") else name)
