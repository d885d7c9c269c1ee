"""Usage and costs as vendors export them (CSV), as rows of one form: DeepSeek, OpenAI, AWS, any that writes FOCUS.

DeepSeek's platform exports amounts (utc_date, model, type, amount) and costs (utc_date, model, cost, currency).
OpenAI's have the fields of its usage API (platform.openai.com/docs/api-reference/usage), a row a bucket. AWS's Cost
and Usage Report has lineItem/... columns, in its second version line_item_...; FOCUS those of its specification.
"""

from __future__ import annotations

import csv
import datetime
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from centime.catalogue.tariffs import PICO
from centime.errors import UserError
from centime.input_files import MOST_BYTES, read_input

ALL = "(all models)"  # of an export that tells services, not models


@dataclass
class VendorLine:
    """What a vendor says of one day (its own) and model. None: its export says nothing of that."""

    requests: int | None = None
    hit: int | None = None
    miss: int | None = None
    output: int | None = None
    pico: int | None = None

    def add(self, name: str, amount: int) -> None:
        """Sum in."""
        setattr(self, name, (getattr(self, name) or 0) + amount)


@dataclass
class VendorExport:
    """A file read whole. lines: by (day, model, currency), the currency '' where it tells no money."""

    kind: str
    lines: dict[tuple[str, str, str], VendorLine]
    unused: tuple[str, ...]  # columns that mean nothing here


class _Rows:
    """The line that a row is about, and its numbers."""

    def __init__(self, comma: bool) -> None:
        self.lines: dict[tuple[str, str, str], VendorLine] = {}
        self._comma = comma  # decimals are written with one: of a file with semicolons

    def line(self, day: str, model: str, currency: str = "") -> VendorLine:
        return self.lines.setdefault((day, model, currency.upper()), VendorLine())

    def number(self, row: dict[str, str], name: str) -> Decimal:
        text = row.get(name, "").strip() or "0"
        try:
            value = Decimal(text.replace(",", ".") if self._comma else text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or abs(value) > Decimal(10) ** 18:
            raise ValueError(f"{name} is {text[:40]!r}, not a number that can be")
        return value

    def count(self, row: dict[str, str], name: str) -> int:
        return int(self.number(row, name))

    def picos(self, row: dict[str, str], name: str) -> int:
        return int((self.number(row, name) * PICO).to_integral_value())


def _day(text: str) -> str:
    """The day of '2026-11-01', of an instant of it (UTC) or of seconds since the epoch."""
    text = text.strip()
    try:
        if text.isdecimal() and len(text) > 8:
            return datetime.datetime.fromtimestamp(int(text), datetime.UTC).date().isoformat()
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (moment.astimezone(datetime.UTC) if moment.tzinfo else moment).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:40]!r} is no day such as 2026-11-01") from None


_DEEPSEEK = {
    "input_cache_hit_tokens": "hit",
    "input_cache_miss_tokens": "miss",
    "output_tokens": "output",
    "request_count": "requests",
}


def _deepseek_amounts(row: dict[str, str], into: _Rows) -> None:
    what = _DEEPSEEK.get(row["type"].strip())
    if what is not None:
        into.line(_day(row["utc_date"]), row["model"]).add(what, into.count(row, "amount"))


def _deepseek_costs(row: dict[str, str], into: _Rows) -> None:
    into.line(_day(row["utc_date"]), row["model"], row["currency"]).add("pico", into.picos(row, "cost"))


def _openai_usage(row: dict[str, str], into: _Rows) -> None:
    line = into.line(_day(row.get("start_time_iso") or row["start_time"]), row["model"])
    cached = into.count(row, "input_cached_tokens")
    line.add("hit", cached)
    line.add("miss", into.count(row, "input_tokens") - cached)
    line.add("output", into.count(row, "output_tokens"))
    line.add("requests", into.count(row, "num_model_requests"))


def _openai_costs(row: dict[str, str], into: _Rows) -> None:
    day = _day(row.get("start_time_iso") or row["start_time"])
    into.line(day, ALL, row["amount_currency"]).add("pico", into.picos(row, "amount_value"))


def _focus(row: dict[str, str], into: _Rows) -> None:
    into.line(_day(row["ChargePeriodStart"]), ALL, row["BillingCurrency"]).add("pico", into.picos(row, "BilledCost"))


def _aws(row: dict[str, str], into: _Rows) -> None:
    day = _day(row["lineItem/UsageStartDate"])
    into.line(day, ALL, row["lineItem/CurrencyCode"]).add("pico", into.picos(row, "lineItem/UnblendedCost"))


def _aws_2(row: dict[str, str], into: _Rows) -> None:
    day = _day(row["line_item_usage_start_date"])
    into.line(day, ALL, row["line_item_currency_code"]).add("pico", into.picos(row, "line_item_unblended_cost"))


# kind -> the columns that it must have, those that it may, what reads a row
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[dict[str, str], _Rows], None]]] = {
    "DeepSeek's amounts": (("utc_date", "model", "type", "amount"), (), _deepseek_amounts),
    "DeepSeek's costs": (("utc_date", "model", "cost", "currency"), (), _deepseek_costs),
    "OpenAI's usage": (
        ("start_time", "model", "input_tokens", "output_tokens"),
        ("start_time_iso", "input_cached_tokens", "num_model_requests"),
        _openai_usage,
    ),
    "OpenAI's costs": (("start_time", "amount_value", "amount_currency"), ("start_time_iso",), _openai_costs),
    "FOCUS": (("ChargePeriodStart", "BilledCost", "BillingCurrency"), (), _focus),
    "AWS's report": (
        ("lineItem/UsageStartDate", "lineItem/UnblendedCost", "lineItem/CurrencyCode"),
        (),
        _aws,
    ),
    "AWS's report, version 2": (
        ("line_item_usage_start_date", "line_item_unblended_cost", "line_item_currency_code"),
        (),
        _aws_2,
    ),
}


def read_export(path: Path) -> VendorExport:
    """The export at `path`: a CSV with commas, semicolons or tabs, gzip or not, with a byte order mark or without.

    Raises UserError for a file that is none of these, or a row that cannot be read, with its line.
    """
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        head = [name.strip() for name in next(reader, [])]
        kind = next((kind for kind, (needed, _, _) in _KINDS.items() if set(needed) <= set(head)), None)
        if kind is None:
            found = ", ".join(head)[:200] or "nothing"
            known = "; ".join(f"{name} ({', '.join(needed)})" for name, (needed, _, _) in _KINDS.items())
            raise UserError(f"{path} has the columns {found}: no export that is known. Known are {known}.")
        needed, may, read = _KINDS[kind]
        rows = _Rows(delimiter == ";")
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(head):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields where its header has {len(head)}."
                )
            try:
                read(dict(zip(head, fields, strict=True)), rows)
            except ValueError as error:
                raise UserError(f"{path}, line {reader.line_num}: {error}.") from None
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; an export is a CSV file.") from None
    if not rows.lines:
        raise UserError(f"{path} ({kind}) holds no row of use; export a time in which something was used.")
    return VendorExport(kind, rows.lines, tuple(name for name in head if name not in (*needed, *may)))


def _text(path: Path) -> str:
    body = read_input(path, "a vendor's export of usage or costs")
    if body[:2] == b"\x1f\x8b":
        unpacking = zlib.decompressobj(wbits=31)
        try:
            body = unpacking.decompress(body, MOST_BYTES)
        except zlib.error as error:
            raise UserError(f"{path} is no whole gzip file ({error}); export it again.") from None
        if not unpacking.eof:
            raise UserError(f"{path} is cut short, or holds more than {MOST_BYTES:,} bytes; export it again.")
    if body[:2] == b"PK":
        raise UserError(f"{path} is a zip file; unpack it, and give the CSV inside.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8, at byte {error.start:,}; save it as that.") from None
