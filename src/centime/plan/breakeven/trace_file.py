"""Reads a trace: CSV, JSON lines, a JSON list or a benchmark's lists; columns are recognised by their names.

What `centime bill --requests` writes, LiteLLM's spend logs, vLLM's detailed benchmark results and its log of requests
(trace_log.py), the public traces of Azure, BurstGPT and Mooncake, and any CSV of instants and lengths.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from centime.csv_files import parse
from centime.errors import UserError, nearest
from centime.input_files import read_text
from centime.json_files import parse_json
from centime.messages import Said, said
from centime.plan.breakeven.trace import Trace, TracedRequest
from centime.plan.breakeven.trace_log import log_records
from centime.units import SECONDS_PER_DAY

WHAT = "a trace of requests: CSV or JSON lines with instants, prompt tokens and answer tokens"
NAMES = {  # without case and signs, as columns of traces are called, the surest first
    "instant": (
        "instant", "arrivedat", "arrived", "arrivaltime", "admitted", "admittedat", "starttime", "starttimes",
        "started", "startedat", "start", "timestamp", "createdat", "created", "requesttime",
        "time", "at", "date", "datetime",
    ),
    "prompt": (
        "prompttokens", "inputtokens", "numprompttokens", "ntokensprompt", "contexttokens", "requesttokens",
        "inputlength", "promptlength", "inputlen", "inputlens", "promptlen", "numinputtokens", "isl", "prompt", "input",
    ),
    "answer": (
        "completiontokens", "outputtokens", "generatedtokens", "numgenerationtokens", "responsetokens", "outputlength",
        "answertokens", "numoutputtokens", "outputlen", "outputlens", "generationtokens", "answer", "osl", "output",
    ),
    "cached": (
        "cachedtokens", "hittokens", "promptcachehittokens", "cachereadinputtokens", "cachedprompttokens",
        "numcachedtokens", "cached", "hits",
    ),
}  # fmt: skip
UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))  # above so much a number of the calendar is in ns, us, ms
CALENDAR = 1e8  # seconds since the epoch from here on: 1973
MOST_TOKENS = 1e9  # of a prompt or an answer
MOST_DAYS = 366
NAMED = 3  # faults that are told; the others are counted

Record = Mapping[str, Any]


def read_trace(path: Path) -> Trace:
    """The requests of a file; a line that cannot be read is named in `faults`.

    Raises UserError where the file has no such columns, or no line that can be read.
    """
    text = read_text(path, WHAT)
    records = list(_records(text, path))
    columns = _columns(records, path)
    scale = _scale(columns, records)
    found: list[TracedRequest] = []
    faults: list[Said] = []
    for line, record in records:
        try:
            found.append(_request(record, columns, scale))
        except ValueError as error:
            faults.append(said("line {line}: {what}", line=line, what=error.args[0]))
    if not found:
        first = f" ({faults[0]})" if faults else ""
        raise UserError(f"--trace {path}: no request could be read{first}; expected {WHAT}.")
    found.sort(key=lambda one: one.at_s)
    if found[-1].at_s <= found[0].at_s:
        raise UserError(f"--trace {path}: all requests came at one instant, which is no load; give their times.")
    days = (found[-1].at_s - found[0].at_s) / SECONDS_PER_DAY
    if days > MOST_DAYS:
        raise UserError(
            f"--trace {path}: from the first request to the last {days:,.0f} days by {columns['instant']}; expected "
            f"at most {MOST_DAYS}: give instants as ISO 8601, or call the column by its unit, such as time_ms."
        )
    told = faults[:NAMED] + ([said("and {n:,|line|lines} more", n=len(faults) - NAMED)] if len(faults) > NAMED else [])
    return Trace(tuple(found), found[0].at_s >= CALENDAR, tuple(told), tuple(columns.values()))


def _records(text: str, path: Path) -> Iterator[tuple[int, Record]]:
    """(line, its values by column), as they stand in the file."""
    stripped = text.lstrip()
    if stripped.startswith("[") or (stripped.startswith("{") and _is_one_object(stripped)):
        yield from _from_json(parse_json(text, str(path)), path)
    elif stripped.startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _one_line(line)
    elif found := log_records(text):
        yield from found
    else:
        names, lines = parse(text, str(path), "save it as CSV, UTF-8")
        head = [name.strip() for name in names]
        for number, fields in lines:
            yield number, dict(zip(head, fields, strict=False))


def _is_one_object(text: str) -> bool:
    """Whether the text is a single object over several lines, rather than one a line."""
    first, _, rest = text.partition("\n")
    return not first.rstrip().endswith("}") or not rest.strip()


def _one_line(line: str) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _from_json(value: Any, path: Path) -> Iterator[tuple[int, Record]]:
    if isinstance(value, dict):
        lists = {name: column for name, column in value.items() if isinstance(column, list)}
        inner = next((column for column in lists.values() if column and isinstance(column[0], dict)), None)
        if not lists:
            yield 1, value
            return
        if inner is None:  # a benchmark's: a list for each column
            known = {name: column for name, column in lists.items() if _kind(name)}
            rows = [dict(zip(known, cells, strict=False)) for cells in zip(*known.values(), strict=False)]
            yield from enumerate(rows, 1)
            return
        value = inner
    if not isinstance(value, list):
        raise UserError(f"--trace {path} holds no list of requests; expected {WHAT}.")
    for number, one in enumerate(value, 1):
        yield number, one if isinstance(one, dict) else {}


def _open(record: Record, before: str = "") -> dict[str, Any]:
    """Objects within objects by their path: {'usage': {'prompt_tokens': 5}} -> {'usage.prompt_tokens': 5}."""
    out: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            out |= _open(value, f"{before}{name}.")
        else:
            out[before + name] = value
    return out


def _value(record: Record, column: str) -> Any:
    """What a column holds, or the path of objects within objects that it names; None where there is nothing."""
    if column in record or "." not in column:
        return record.get(column)
    first, _, rest = column.partition(".")
    inner = record.get(first)
    return _value(inner, rest) if isinstance(inner, dict) else None


def _plain(name: str) -> str:
    """'usage.Prompt_Tokens (ms)' -> 'prompttokens'."""
    last = re.sub(r"\(.*?\)", "", name.rpartition(".")[2])
    return re.sub(r"(ms|ns|us|s)$", "", re.sub(r"[^a-z0-9]", "", last.lower())) if _unit(name) else _word(last)


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unit(name: str) -> float | None:
    """Seconds of the unit that a column's name ends in: 'arrived_ms', 'time (ns)'."""
    match = re.search(r"[_ (](ms|us|ns|s)\)?$", name.strip().lower())
    return {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[match[1]] if match else None


def _kind(name: str) -> str | None:
    word = _plain(name)
    return next((kind for kind, names in NAMES.items() if word in names), None)


def _columns(records: list[tuple[int, Record]], path: Path) -> dict[str, str]:
    """What each column is called, by what it holds. Raises UserError naming the one that is missing."""
    seen = list(dict.fromkeys(name for _, record in records[:100] for name in _open(record)))
    found: dict[str, str] = {}
    for kind, names in NAMES.items():
        ranked = sorted((names.index(_plain(name)), len(name), name) for name in seen if _plain(name) in names)
        if ranked:
            found[kind] = ranked[0][2]
    for kind in ("instant", "prompt", "answer"):
        if kind not in found:
            near = nearest(NAMES[kind][0], seen).replace("Did you mean", "Is it the one called")
            listed = ", ".join(seen[:12]) or "none"
            raise UserError(
                f"--trace {path}: no column holds the {kind} of a request (such as {', '.join(NAMES[kind][:3])}); "
                f"found {listed[:200]}.{near} Expected {WHAT}."
            )
    return found


def _scale(columns: Mapping[str, str], records: list[tuple[int, Record]]) -> float | None:
    """Seconds of a number in the instants' column: by its name, milliseconds in Mooncake's columns; None: by size."""
    name = columns["instant"]
    if (unit := _unit(name)) is not None:
        return unit
    mooncake = any("hash_ids" in record for _, record in records[:5])
    return 1e-3 if mooncake else None


def _request(record: Record, columns: Mapping[str, str], scale: float | None) -> TracedRequest:
    """Raises ValueError saying which column holds what."""
    if not record:
        raise ValueError(said("it is no object or row"))
    at_s = _instant(_value(record, columns["instant"]), columns["instant"], scale)
    prompt = _tokens(_value(record, columns["prompt"]), columns["prompt"], least=1)
    answer = _tokens(_value(record, columns["answer"]), columns["answer"], least=1)
    cached = 0.0
    if "cached" in columns and (found := _value(record, columns["cached"])) not in (None, ""):
        cached = min(prompt, _tokens(found, columns["cached"], least=0))
    return TracedRequest(at_s, prompt, answer, cached)


def _tokens(value: Any, column: str, *, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not least <= number <= MOST_TOKENS:
        raise ValueError(
            said(
                "{column} is {value}, not a number of tokens from {least:g} on",
                column=column,
                value=repr(str(value)[:40]),
                least=least,
            )
        )
    return number


def _instant(value: Any, column: str, scale: float | None) -> float:
    if isinstance(value, str) and not re.fullmatch(r"\s*[-+]?\d*\.?\d+(e[-+]?\d+)?\s*", value, re.IGNORECASE):
        try:
            moment = datetime.datetime.fromisoformat(value.strip().removesuffix(" UTC"))
        except ValueError:
            raise ValueError(_no_instant(column, value)) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number < 1e20:
        raise ValueError(_no_instant(column, value))
    if scale is None:
        scale = next((unit for above, unit in UNITS if number >= above), 1.0)
    return number * scale


def _no_instant(column: str, value: Any) -> Said:
    return said(
        "{column} is {value}, no instant such as 2026-11-30T08:00:00Z or seconds",
        column=column,
        value=repr(str(value)[:40]),
    )
