"""Served requests as CSV, one a row: what `plan breakeven --trace` reads, and any table of a notebook."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Sequence
from pathlib import Path

from centime.catalogue.tariffs import decimal
from centime.files.output import Output
from centime.ledger.billing.runs import intervals_of
from centime.ledger.book import Book
from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.requests import ServedRequest

_BEFORE = (  # as it was before energy came
    "instant", "key", "model", "prompt_tokens", "cached_tokens", "answer_tokens", "ttft_s", "seconds", "price",
    "currency", "price_list",
)  # fmt: skip
COLUMNS = (*_BEFORE, "energy_joules", "energy_source")


def write_requests(book: Book, path: Path, run: str | None = None) -> int:
    """Write the requests of a run, or all, to `path`, in the order in which they came; returns how many.

    The file appears whole or not at all. Raises UserError for an unknown run or a file that cannot be written.
    """
    runs = None if run is None else {(i.run, i.run_path or "") for i in intervals_of(book.intervals(), run)}
    written = 0
    with requests_file(path).written() as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for request in book.requests():
            if runs is None or (request.run, request.run_path) in runs:
                writer.writerow(_row(request))
                written += 1
    return written


def requests_file(path: Path, inputs: Sequence[Path] = ()) -> Output:
    """Where requests go: over nothing but another such file of centime's, and none that is read."""
    return Output(path, "a table of requests", "name another --requests file", _is_ours, inputs)


def _is_ours(path: Path) -> bool:
    """Whether a CSV has these columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader(file), [])) in (COLUMNS, _BEFORE)


def _row(request: ServedRequest) -> list[object]:
    """Times to the nanosecond; empty: no first token, no price list, an energy that nobody knows."""
    energy, joules = NO_ENERGY, None
    if request.measured_uj is not None or request.estimated_uj is not None:
        energy = EnergyUse(request.measured_uj or 0, request.estimated_uj or 0, request.total_ns)
        joules = energy.total_uj / 1e6
    return [
        _instant(request.arrived_ns),
        request.key,
        request.run,
        request.prompt_tokens,
        request.hit_tokens,
        request.output_tokens,
        _seconds(request.first_token_ns) if request.first_token_ns else "",
        _seconds(request.total_ns),
        decimal(request.list_pico) if request.tariff else "",
        request.currency,
        request.tariff,
        "" if joules is None else f"{joules:.6f}",
        energy.source,
    ]


def _instant(ns: int) -> str:
    """'2026-11-30T21:04:05.123456Z': ISO 8601 to the microsecond."""
    seconds, rest = divmod(ns, 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _seconds(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9:09d}"
