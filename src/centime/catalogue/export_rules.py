"""Who may buy which chip when: the export rules as dated rows, and what follows from them at any date.

Rows of export_rules.csv say, for a chip and a buyer, from which date to which (exclusive) it was allowed, under licence
or banned, and by which rule. A chip of a US maker without a row for China is held against the rules' own threshold,
its total processing performance (TPP: dense TFLOPS x bits), and the answer says that it was derived.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from centime.catalogue.chips import Chip
from centime.catalogue.prices import day
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
_FREE = ("allowed", "licence", "cloud only")
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
        return self.status in _FREE

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


def where(buyer: str) -> Said:
    """Where a buyer buys, for a sentence: 'in China'."""
    return {"cn": said("in China"), "us": said("in the US"), "any": said("in China or the US")}[buyer]


def status(found: Chip, date: str, buyer: str = "cn") -> Status:
    """What `buyer` ('cn', 'us', or 'any': the freer of the two) may do about a chip on `date`.

    Raises UserError on an unknown buyer, or a date that is none.
    """
    if buyer not in BUYERS:
        raise UserError(f"There is no region {buyer!r}.{nearest(buyer, BUYERS)} Known: {', '.join(BUYERS)}.")
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


def sale_windows(found: Chip, buyer: str) -> list[tuple[str | None, str | None]]:
    """The spans in which `buyer` ('cn' or 'us') may buy the chip, under licence or without: (from, to), to exclusive,
    None: open. Spans that touch are one.
    """
    spans: list[tuple[str | None, str | None]] = []
    for row in _rows(found, buyer):
        if row.status in _FREE:
            touching = bool(spans) and spans[-1][1] == row.start
            start = spans.pop()[0] if touching else row.start or None
            spans.append((start, row.end or None))
    return spans
