"""Who may buy which chip when: the export rules as dated rows, and what follows from them at any date.

Rows of export_rules.csv say, for a chip and a buyer, from which date to which (exclusive) it was allowed, under licence
or banned, and by which rule. A chip of a US maker without a row for China is held against the rules' own threshold,
its total processing performance (TPP: dense TFLOPS x bits), and the answer says that it was derived.
"""

from __future__ import annotations

import datetime
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from centime.catalogue.chips import Chip, chip
from centime.csv_files import read_rows
from centime.errors import UserError, nearest
from centime.messages import Said, said

TABLE = Path(__file__).parent / "export_rules.csv"

Buyer = Literal["cn", "us", "any"]
BUYERS: tuple[Buyer, ...] = ("cn", "us", "any")

# US BIS rule of 2023-10-17, as the catalogue cites it: a TPP of 4,800 and more is controlled.
_CONTROLLED_TPP = 4800
_RULE_2023 = ("2023-10-17", "US BIS rule 2023-10-17 (TPP>=4800 or TPP>=1600&PD>=5.92)")
_CHINESE = {"Huawei"}
_ORDER = ("banned", "not on sale", "unknown", "cloud only", "licence", "allowed")  # from worst to best


@dataclass(frozen=True)
class Status:
    """What a buyer may do about a chip on a date.

    status: 'allowed'; 'licence', case by case; 'banned'; 'cloud only', rented and never sold; 'not on sale' before its
    launch; 'unknown', where no rule of the catalogue speaks of it.
    """

    chip: str
    buyer: str
    date: str
    status: str
    rule: str  # and its date, as the source cites it
    since: str  # from which date the status holds; '' where it always has
    note: str = ""

    @property
    def may_buy(self) -> bool:
        """Whether a purchase is possible, a licence or a rental contract granted."""
        return self.status in ("allowed", "licence", "cloud only")

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> Said:
        """'banned since 2023-10-17 (US BIS rule 2023-10-17; presumption of denial)'."""
        because = said(self.rule or self.note)
        if self.rule and self.note:
            because = said("{first}; {second}", first=because, second=said(self.note))
        return said(
            "{status}{since}{because}",
            status=said(self.status),
            since=said(" since {date:date}", date=self.since) if self.since else "",
            because=said(" ({why})", why=because) if because else "",
        )


@dataclass(frozen=True)
class _Row:
    start: str
    end: str
    status: str
    rule: str
    note: str


def day(date: str) -> datetime.date:
    """'2025', '2025-04' or '2025-04-09' as a day, the first where only year or month is given. Raises UserError."""
    match = re.fullmatch(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?", date.strip())
    try:
        if match:
            return datetime.date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        pass
    raise UserError(f"{date!r} is not a date; write 2025-04-09, or 2025-04 or 2025 for its first day.")


@functools.cache
def _table() -> dict[tuple[str, str], tuple[_Row, ...]]:
    found: dict[tuple[str, str], list[_Row]] = {}
    for row in read_rows(TABLE):
        kept = _Row(row["from"], row["to"], row["status"], row["rule"], row["note"])
        found.setdefault((row["chip"], row["buyer"]), []).append(kept)
    return {key: tuple(rows) for key, rows in found.items()}


def _launch(found: Chip) -> str:
    """The first date in what the catalogue says of the launch; '' where it says none."""
    match = re.search(r"20\d\d(-\d\d(-\d\d)?)?|201\d(-\d\d(-\d\d)?)?", found.launched)
    return match[0] if match else ""


def _rows(found: Chip, buyer: str) -> tuple[_Row, ...]:
    """The spans of a chip for 'cn' or 'us', in order of time; derived where the table has none."""
    known = _table().get((found.name, buyer))
    if known:
        return known
    start = _launch(found)
    if found.export_status == "cloud only":
        allowed = buyer == "us"
        return (_Row(start, "", "cloud only" if allowed else "unknown", "", "rented by its maker, not sold"),)
    if buyer == "us":
        return (_Row(start, "", "allowed", "", ""),)
    if found.vendor in _CHINESE:
        return (_Row(start, "", "allowed", "", "Chinese part"),)
    if found.tpp is None:
        return (_Row(start, "", "unknown", "", "no TPP is known to hold against the rules"),)
    held = {"tpp": found.tpp, "limit": _CONTROLLED_TPP}
    if found.tpp < _CONTROLLED_TPP:
        return (_Row(start, "", "allowed", "", said("derived: TPP {tpp:g} is below {limit}", **held)),)
    since, rule = _RULE_2023
    derived = said("derived: TPP {tpp:g} is not below {limit}", **held)
    if start and day(start) < day(since):
        return (_Row(start, since, "allowed", "", derived), _Row(since, "", "banned", rule, derived))
    return (_Row(start, "", "banned", rule, derived),)


def status(which: str | Chip, date: str, buyer: str = "cn") -> Status:
    """What `buyer` ('cn', 'us', or 'any': the freer of the two) may do about a chip on `date`.

    Raises UserError on an unknown chip or buyer, or a date that is none.
    """
    if buyer not in BUYERS:
        raise UserError(f"There is no region {buyer!r}.{nearest(buyer, BUYERS)} Known: {', '.join(BUYERS)}.")
    found = chip(which) if isinstance(which, str) else which
    asked = day(date)
    if buyer == "any":
        both = [status(found, date, other) for other in ("us", "cn")]
        best = max(both, key=lambda one: _ORDER.index(one.status))
        return Status(found.name, "any", date, best.status, best.rule, best.since, best.note)
    for row in _rows(found, buyer):
        if (not row.start or asked >= day(row.start)) and (not row.end or asked < day(row.end)):
            return Status(found.name, buyer, date, row.status, row.rule, row.start, row.note)
    first = _rows(found, buyer)[0].start
    return Status(found.name, buyer, date, "not on sale", "", "", said("launched {date:date}", date=first))


def availability(which: str | Chip, date: str) -> dict[str, Status]:
    """The status of a chip on `date` for every buyer: {'cn': ..., 'us': ..., 'any': ...}."""
    return {buyer: status(which, date, buyer) for buyer in BUYERS}


def sale_windows(which: str | Chip, buyer: str = "cn") -> list[tuple[str | None, str | None]]:
    """The spans in which `buyer` may buy the chip, under licence or without: (from, to), to exclusive, None: open.

    Spans that touch are one.
    """
    found = chip(which) if isinstance(which, str) else which
    if buyer == "any":
        return _joined(sale_windows(found, "us") + sale_windows(found, "cn"))
    rows = _rows(found, buyer)
    free = [(row.start or None, row.end or None) for row in rows if row.status in ("allowed", "licence", "cloud only")]
    return _joined(free)


def _joined(spans: list[tuple[str | None, str | None]]) -> list[tuple[str | None, str | None]]:
    found: list[tuple[str | None, str | None]] = []
    for start, end in sorted(spans, key=lambda span: day(span[0]) if span[0] else datetime.date.min):
        if found and (found[-1][1] is None or (start and day(start) <= day(found[-1][1]))):
            last = found[-1][1]
            later = None if last is None or end is None else max(last, end, key=day)
            found[-1] = (found[-1][0], later)
        else:
            found.append((start, end))
    return found
