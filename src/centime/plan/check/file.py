"""A file of published runs: its columns, its rows, and which of them are figures to predict.

Two schemas: training runs and serving runs. A target column, and what derives from one, never reaches a predictor:
`sealed` leaves the mark that a target is there, because the figure asked for depends on it, and takes its value away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from centime.csv_files import parse
from centime.errors import UserError, nearest
from centime.input_files import read_text

Row = dict[str, str]


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of file. The first target that a row fills is what is predicted."""

    kind: str
    needed: tuple[str, ...]  # a file without one of these cannot be predicted at all
    numbers: tuple[str, ...]  # inputs that are numbers above zero where they are filled
    words: tuple[str, ...]  # inputs that are text
    targets: dict[str, str]  # column -> unit, in order of preference
    outcomes: tuple[str, ...]  # measured with the target, or derived from one: never inputs either
    remarks: tuple[str, ...]  # about the row, not about the run

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that say what was run."""
        return (*self.words, *self.numbers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a file of this kind may have."""
        return ("id", *self.inputs, *self.targets, *self.outcomes, *self.remarks)


TRAINING = Schema(
    kind="train",
    needed=("id", "model", "gpu", "n_gpus", "seq_len", "global_batch_seqs", "precision"),
    numbers=(
        *("params_total_b", "params_active_b", "layers", "hidden", "heads", "kv_heads", "ffn", "vocab"),
        *("n_experts", "topk", "tokens_b", "seq_len", "global_batch_seqs", "micro_batch", "n_gpus"),
        *("tp", "pp", "vp", "dp", "ep", "cp"),
    ),
    words=("kind", "model", "arch", "attention", "gpu", "fsdp_zero", "schedule", "recompute", "precision"),
    targets={
        "tokens_per_s_per_gpu": "tokens/s/GPU",
        "step_time_s": "s",
        "tflops_per_gpu": "TFLOP/s/GPU",
        "mfu_pct": "% of peak",
    },
    outcomes=("mem_gib", "gpu_hours", "wall_days", "cost_usd", "cost_basis"),
    remarks=("group", "confidence", "memory_fields", "source", "source_loc", "notes", "software", "software_date"),
)
SERVING = Schema(
    kind="serve",
    needed=("id", "model", "gpu", "n_gpus", "precision", "isl", "osl", "concurrency_or_batch"),
    numbers=("n_gpus", "isl", "osl"),
    words=(
        "model",
        "precision",
        "gpu",
        "engine",
        "config",
        "phase",
        "concurrency_or_batch",
        "prefix_cache",
        "mtp_spec",
    ),
    targets={
        "output_tok_s_per_gpu": "output tokens/s/GPU",
        "total_tok_s_per_gpu": "tokens/s/GPU",
        "input_tok_s_per_gpu": "input tokens/s/GPU",
        "total_tok_s": "tokens/s",
        "tpot_ms": "ms",
        "ttft_ms": "ms",
    },
    outcomes=("tok_s_per_user", "usd_per_m_tok", "usd_basis"),
    remarks=("group", "date", "metric_note", "confidence", "source", "source_loc"),
)
MOST = {"params_total_b": 1e9, "params_active_b": 1e9, "tokens_b": 1e9, "n_gpus": 1e7}  # of the others 1e8
SCHEMAS = {"train": TRAINING, "serve": SERVING}


@dataclass(frozen=True)
class RunFile:
    """The rows of a file, and why a row cannot be used ('' where it can)."""

    schema: Schema
    rows: list[Row]
    faults: list[str]


def read_file(path: Path, kind: str | None = None, target: str | None = None) -> RunFile:
    """The rows of a CSV file, every column of the schema in each ('' where the file lacks an optional one).

    kind: 'train' or 'serve', else as the columns say. target: the only column to predict: the others are read as if
    they were not there. A row with a mangled cell is kept with its fault, which names
    the field and the line. Raises UserError on a file that cannot be read, an unknown kind, a missing, doubled or
    misspelt column, and lines with more or fewer fields than columns throughout.
    """
    if kind is not None and kind not in SCHEMAS:
        raise UserError(f"--kind {kind!r} is not known; write --kind train or --kind serve.")
    names, lines = parse(read_text(path, "a CSV file of published runs"), str(path), "save it as CSV, UTF-8")
    head = [name.strip() for name in names]
    cells = [(number, line) for number, line in lines if any(cell.strip() for cell in line)]
    schema = _schema(path, head, kind)
    if target is not None and target not in head:
        raise UserError(f"--target {target!r} is no column of {path}.{nearest(target, schema.targets)}")
    if target is not None and target not in schema.targets:
        known = ", ".join(column for column in schema.targets if column in head)
        raise UserError(f"--target {target!r} is not a column that is predicted; {path} has {known}.")
    others = [column for column in schema.targets if target not in (None, column)]
    if not cells:
        raise UserError(f"{path} has a head and no rows; add the runs to predict.")
    out = RunFile(schema, [], [])
    for line, fields in cells:
        row = {name: cell.strip() for name, cell in zip(head, fields, strict=False)}
        row |= dict.fromkeys(others, "")
        out.rows.append({column: row.get(column, "") for column in schema.columns})
        out.faults.append(_fault(schema, head, fields, out.rows[-1], line))
    return out


def _schema(path: Path, head: list[str], kind: str | None) -> Schema:
    """The schema of a head, or a sentence that names the column at fault."""
    if not any(head):
        raise UserError(f"{path} is empty; the first line of the file names its columns.")
    if len(head) == 1 and any(mark in head[0] for mark in ";\t"):
        raise UserError(f"{path}: the columns are not parted by commas; save the file as CSV with commas.")
    doubled = next((name for name in head if name and head.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"{path}: column {doubled!r} stands there twice; keep one.")
    schema = SCHEMAS[kind] if kind else max(SCHEMAS.values(), key=lambda s: len(set(s.columns) & set(head)))
    strange = [name for name in head if name and name not in schema.columns]
    for name in schema.needed:
        if name not in head:
            near = nearest(name, strange).replace("Did you mean", "Is it the one called")
            raise UserError(f"{path}: column {name!r} is missing; a file of kind {schema.kind} needs it.{near}")
    if not any(target in head for target in schema.targets):
        raise UserError(f"{path}: there is no column to predict; one of {', '.join(schema.targets)} is needed.")
    for name in strange:
        missing = [column for column in schema.columns if column not in head]
        if near := nearest(name, missing):
            raise UserError(f"{path}: column {name!r} is not known.{near} Rename it, or take it out.")
    return schema


def _fault(schema: Schema, head: list[str], fields: list[str], row: Row, line: int) -> str:
    """What is wrong with a line, or ''."""
    if len(fields) != len(head):
        return f"line {line} has {len(fields)} fields where the head names {len(head)} columns"
    if not row["id"]:
        return f"line {line}: id is empty"
    for column in (*schema.numbers, *schema.targets):
        if row[column] and number(row[column]) is None:
            return f"line {line}: {column} is {row[column]!r}, not a number above zero"
    for column in schema.numbers:
        if row[column] and (value := number(row[column])) is not None and value > (most := MOST.get(column, 1e8)):
            return f"line {line}: {column} is {row[column]!r}, more than any run has; expected at most {most:,.0f}"
    return ""


def number(text: str) -> float | None:
    """The number above zero that a cell holds, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def target_of(schema: Schema, row: Row) -> str | None:
    """The column to predict: the first target that the row fills."""
    return next((column for column in schema.targets if (row.get(column) or "").strip()), None)


def sealed(schema: Schema, row: Row) -> Row:
    """The row as a predictor may see it: a filled target is '1', an outcome is empty, all else as it was.

    `tok_s_per_user` stays where it is the operating point that was asked for: no concurrency is stated, and no latency
    was measured that it could derive from.
    """
    out = dict(row)
    operating_point = schema is SERVING and not any(
        row.get(column) for column in ("concurrency_or_batch", "tpot_ms", "ttft_ms")
    )
    for column in schema.outcomes:
        if not (operating_point and column == "tok_s_per_user"):
            out[column] = ""
    for column in schema.targets:
        out[column] = "1" if row.get(column) else ""
    return out
