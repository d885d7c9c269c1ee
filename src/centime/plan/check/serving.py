"""Predicts a row of published serving speeds (the schema of serving_runs.csv) from its stated conditions.

Which figure: the first target that the row has, in its source's own convention: Argonne counts input and output
tokens of a static batch, MLPerf the output tokens of a scenario with latency limits, aiconfigurator's anchors the time
per output token at a concurrency. A row that leaves its operating point open (neither batch, limits nor a scenario) is
answered only where the whole memory is the natural one (a stated maximum), else says what is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from centime.catalogue.chips import Chip, chip
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.check.file import SERVING, Row
from centime.plan.check.row_prediction import Figures, RowPrediction, row_prediction
from centime.plan.check.serving_rows import (
    SHORTHAND,
    BenchmarkScenario,
    RowLayout,
    mlperf_scenario,
    number,
    parse_layout,
    precision,
    software,
    speculation,
    stated_batch,
)
from centime.plan.serving.costs import ModelCost, model_cost
from centime.plan.serving.engine import (
    CHUNK,
    EngineModel,
    decoding,
    largest_batch,
    prefilling,
    static_batch,
    steady,
)
from centime.plan.serving.interval import interval
from centime.plan.serving.speeds import ServingSoftware, speeds
from centime.plan.serving.units import Unit, most_sequences
from centime.plan.serving.waiting import HEADROOM, busiest_load, busiest_prefill

PROMPT = 1024  # tokens, where a row states no length
ONLINE_TPOT_S = 0.05  # of a production unit that states no target: 20 tokens/s, the floor of D6's 20 to 22
ONLINE_TTFT_S = 5.0  # of a production unit that states no target (99th percentile)
ONLINE_CONTEXT = 4989  # mean cache length per output token (D6), where a production row states no lengths


@dataclass(frozen=True)
class ServingRow:
    """A row, read: the model and what it runs on."""

    row: dict[str, str]
    model: ModelCost
    chips: tuple[tuple[Chip, int], ...]  # kinds of chip with their numbers
    gpus: int
    software: ServingSoftware
    mixture: bool
    arch_name: str


def predict_row(row: Row, values: dict[str, float] | None = None) -> RowPrediction:
    """What the planner says of one row; `values`: constants other than the shipped ones."""

    def figures(sealed: Row, target: str) -> Figures:
        case = read_case(sealed)
        found = predict(case, target, values)
        return found, *interval(case.arch_name, case.chips[0][0], found, time=target.endswith("_ms"))

    return row_prediction(SERVING, row, figures)


def read_case(row: dict[str, str]) -> ServingRow:
    """The row's model, chips and software. Raises UserError naming the column that cannot be read."""
    arch = architecture(_model_name(row))
    count = number(row.get("n_gpus"))
    gpus = int(count) if count else 0
    kinds = _chips(row.get("gpu", ""), max(gpus, 1))
    return ServingRow(row, model_cost(arch), kinds, gpus, software(row), arch.is_mixture, arch.name)


def predict(case: ServingRow, target: str, values: dict[str, float] | None = None) -> float:
    """The figure in `target`'s unit, over all kinds of chip of the row."""
    shares = [(_one(replace(case, chips=((kind, n),)), target, values), n) for kind, n in case.chips]
    total = case.gpus if case.gpus and target.endswith("per_gpu") else sum(n for _, n in shares)
    return sum(found * n for found, n in shares) / total


def _one(case: ServingRow, target: str, values: dict[str, float] | None) -> float:
    row = case.row
    phase = row.get("phase", "").lower()
    scenario = mlperf_scenario(row.get("model", "")) if phase in ("offline", "server", "interactive") else None
    if phase in ("offline", "server", "interactive"):
        if scenario is None:
            raise UserError(f"model {row.get('model')!r}: no MLPerf scenario with its lengths and limits is known.")
        return _scenario(case, scenario, phase, values) * (case.gpus if target == "total_tok_s" else 1)
    layout = parse_layout(row.get("config", ""), case.gpus, case.mixture)
    layout = layout or _whole_node(case, phase)
    if layout is None:
        raise UserError(_open_point(row))
    if "prefill" in phase and target == "input_tok_s_per_gpu":
        return _prefill(case, layout, values)
    if target == "ttft_ms":
        raise UserError("ttft_ms alone is a time in a queue; the row states no arrival rate.")
    isl, osl = number(row.get("isl")), number(row.get("osl"))
    batch = number(row.get("concurrency_or_batch"))
    if target == "total_tok_s_per_gpu" or (target == "total_tok_s" and phase == "batch"):
        if not (isl and osl and batch):
            raise UserError("a static batch needs isl, osl and concurrency_or_batch.")
        engine = _engine(case, layout.unit, values)
        seconds = static_batch(engine, batch / layout.units, isl, osl)
        figure = batch * (isl + osl) / seconds
        return figure / case.gpus if target.endswith("per_gpu") else figure
    if target == "tpot_ms":
        return _token_time(case, layout, isl, osl, batch, values)
    return _decode(case, layout, isl, values)


def _open_point(row: dict[str, str]) -> str:
    """Why a row without a layout is not answered: what it measured at is a result, or is stated nowhere."""
    if row.get("tok_s_per_user", "").strip() or "frontier" in row.get("config", "").lower():
        return (
            "config names no layout, and the operating point is a speed per user (tok_s_per_user): the inverse of "
            "tpot_ms, a result, which is never an input."
        )
    return "config and phase name neither a layout nor an operating point: a figure of a page, not of one run."


def _engine(case: ServingRow, unit: Unit, values: dict[str, float] | None, *, even: bool = False) -> EngineModel:
    kind = case.chips[0][0]
    mlperf = case.row.get("phase", "").lower() in ("offline", "server", "interactive")
    form = precision(case.row, case.mixture, mlperf or case.software.engine == "trt")
    rates = speeds(kind, case.software, values)
    if even:
        rates = replace(rates, imbalance=1.0)
    drafted, accepted = speculation(case.row.get("mtp_spec", ""))
    return EngineModel(case.model, kind, unit, form, rates, drafted, accepted)


def _token_time(
    case: ServingRow,
    layout: RowLayout,
    isl: float | None,
    osl: float | None,
    batch: float | None,
    values: dict[str, float] | None,
) -> float:
    """Milliseconds per output token at a concurrency, prefill mixed in unless other units do it."""
    if not (isl and osl):
        raise UserError("tpot_ms needs isl and osl.")
    engine = _engine(case, layout.unit, values)
    stated = (layout.batch_per_group or 0) * layout.unit.dp
    in_flight = batch / layout.units if batch else float(stated)
    if not in_flight:
        raise UserError("tpot_ms needs concurrency_or_batch, or a bs in config.")
    inside = max(1.0, min(in_flight, engine.room(isl + osl / 2)))
    if layout.prefill is not None:
        return decoding(engine, inside, isl, osl).tpot_s * 1e3
    return steady(engine, inside, isl, osl).tpot_s * 1e3


def _prefill(case: ServingRow, layout: RowLayout, values: dict[str, float] | None) -> float:
    """Input tokens a second and chip of prefill units; with cache hits counted where the source counts them."""
    stated = re.search(r"([\d.]+)\s*%\s*hit", case.row.get("prefix_cache", ""))
    hit = float(stated[1]) / 100 if stated else 0.0
    even = "perfect" in case.row.get("config", "")
    engine = _engine(case, layout.unit, values, even=even)
    per_device = re.search(r"(\d+) tokens/device", case.row.get("concurrency_or_batch", ""))
    tokens = float(per_device[1]) if per_device else float(CHUNK)
    isl = number(case.row.get("isl"))
    if "production" in case.row.get("group", "").lower():
        per_group = busiest_prefill(engine, isl or ONLINE_CONTEXT, hit, ONLINE_TTFT_S)[0]
        return per_group / (1 + HEADROOM) * layout.unit.dp / (1 - hit) / layout.unit.chips
    seconds = prefilling(engine, isl or PROMPT, tokens, hit)
    return tokens * layout.unit.dp / seconds / (1 - hit) / layout.unit.chips


def _decode(case: ServingRow, layout: RowLayout, isl: float | None, values: dict[str, float] | None) -> float:
    """Output tokens a second and chip of decode units, at the stated batch or what memory and online time allow."""
    engine = _engine(case, layout.unit, values)
    osl = number(case.row.get("osl")) or 1000.0
    online = "production" in case.row.get("group", "").lower()
    context = isl if isl else (ONLINE_CONTEXT if online else PROMPT) - osl / 2
    batch = largest_batch(engine, context, osl, ONLINE_TPOT_S if online else None, hit=1.0)
    stated = stated_batch(case.row.get("concurrency_or_batch", ""), layout)
    if stated is not None:
        batch = min(batch, stated)
    if batch < 1:
        raise UserError("the model does not fit these chips, or no batch meets the token time.")
    return decoding(engine, batch, context, osl).tokens_per_s / layout.unit.chips


def _scenario(case: ServingRow, scenario: BenchmarkScenario, phase: str, values: dict[str, float] | None) -> float:
    """Output tokens a second and chip of the best layout within the scenario's limits."""
    best = 0.0
    limits = scenario.limits.get(phase)
    if phase != "offline" and limits is None:
        raise UserError(f"MLPerf's {phase} scenario of {case.row.get('model')!r} has no limits here.")
    for unit in candidates(case.chips[0][0], case.chips[0][1], case.mixture, case.model):
        engine = _engine(case, unit, values)
        if most_sequences(case.model, engine.chip, unit, engine.form, scenario.isl + scenario.osl) < 1:
            continue
        if limits is None:
            most = largest_batch(engine, scenario.isl, scenario.osl, None)
            states = [steady(engine, max(1.0, most / 2**i), scenario.isl, scenario.osl) for i in range(5)]
        else:
            states = [busiest_load(engine, scenario.isl, scenario.osl, *limits)]
        run = engine.speeds.run_s
        for state in states:
            drain = scenario.longest * state.tpot_s  # the last answers end after the rest of the run
            best = max(best, state.tokens_per_s / unit.chips * run / (run + drain))
    if best <= 0:
        raise UserError("no layout of these chips holds the model within the scenario's limits.")
    return best


def candidates(kind: Chip, gpus: int, mixture: bool, model: ModelCost) -> list[Unit]:
    """Units a benchmark's authors would try: powers of two inside one scale-up domain, experts spread or split."""
    most = min(gpus or 8, max(int(kind.scaleup_domain or 1), 8))
    found = []
    width = 1
    while width <= min(most, 16):
        found.append(Unit(tp=width, moe_tp=width) if mixture else Unit(tp=width))
        if mixture and width > 1:
            found.append(Unit(dp=width, ep=width))
        width *= 2
    if mixture and most > 16 and most % 8 == 0 and model.expert_params > 1e11:
        found.append(Unit(dp=most, ep=most, overlapped=True))
    return found


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
    name, each = SHORTHAND.get(text.strip().lower(), (text.strip(), 1))
    return ((chip(name), gpus * each),)


def _model_name(row: dict[str, str]) -> str:
    """The model's name without what sources hang on to it: '(2.8T)', '1.6T', MLPerf's accuracy target."""
    name = re.sub(r"\s*\(.*?\)|\s+\d[\d.]*[TB](-A\d+B)?$", "", row.get("model", "").strip())
    return re.sub(r"-99(\.9)?$", "", name.split("/")[0] if name.startswith("DeepSeek-V3/") else name)
