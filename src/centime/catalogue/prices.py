"""Dated prices per device-hour: given on the command line, from the user's overlay, from the catalogue; never invented.

Order of precedence: `--price`, then $CENTIME_HOME/prices.toml (or prices.csv), then the newest of what `centime
catalogue update` fetched and the catalogue's prices.csv. A device that none of them knows has no price, and the verbs
then show device-time alone.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from centime.catalogue.chips import HERE, chip_for, names_match, words
from centime.catalogue.home import centime_home
from centime.catalogue.refreshed import refreshed_path, refreshed_rows
from centime.csv_files import Row, read_rows
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.messages import Amount, Said, said
from centime.units import format_money, parse_price_per_hour

STALE_DAYS = 180  # an older figure is flagged: the median H100 hour moved by 38 % within five months of 2025-26


class DeviceLike(Protocol):
    """What a price depends on: `centime.ledger.device.Device` has it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def vcpus(self) -> int: ...
    @property
    def instance(self) -> str | None: ...


@dataclass(frozen=True)
class Price:
    """What one hour of one device costs.

    kind: 'given' on the command line; 'overlay', the user's own file; 'catalogue', a dated price of this very
    device; 'assumed', a dated price of another machine taken for this one, which `note` names.
    """

    per_device_hour: float
    currency: str  # ISO 4217
    date: str  # ISO 8601; year or month alone where the source says no more
    source: str
    kind: str
    note: str = ""

    def age_days(self, today: datetime.date | None = None) -> int:
        """Days since the price's date; a month or a year alone counts from its first day."""
        return ((today or datetime.date.today()) - first_day(self.date)).days

    def stale(self, today: datetime.date | None = None) -> bool:
        """Whether the figure is older than 180 days."""
        return self.age_days(today) > STALE_DAYS

    @property
    def amount(self) -> Amount:
        """Of an hour."""
        return Amount(self.per_device_hour, self.currency)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> Said:
        """'$2.00 per device-hour (catalogue, H800 SXM 80GB, DeepSeek; 2024-12-27, 699 days old)'."""
        return said(
            "{price:money} per device-hour ({kind}{note}; {date:date}{age})",
            price=self.amount,
            kind=said(self.kind),
            note=said(", {note}", note=self.note) if self.note else "",
            date=self.date,
            age=aged(self.date) if self.kind != "given" else "",
        )


@dataclass(frozen=True)
class PriceRow:
    """One row of a price table. `per_hour` is for the whole item: one GPU, or one instance with `vcpus` vCPUs."""

    id: str
    kind: str  # median (over providers), rental, cpu, overlay
    device: str
    vcpus: int | None
    provider: str
    date: str
    per_hour: float
    currency: str
    terms: str
    confidence: str
    source: str


def first_day(date: str) -> datetime.date:
    """'2026-06' -> 2026-06-01. Raises ValueError on anything but YYYY, YYYY-MM or YYYY-MM-DD."""
    parts = [int(part) for part in date.split("-")]
    year, month, day = [*parts, 1, 1][: max(3, len(parts))]
    return datetime.date(year, month, day)


def day(date: str) -> datetime.date:
    """'2025', '2025-04' or '2025-04-09' as a day, the first where only year or month is given. Raises UserError."""
    try:
        return first_day(date)
    except ValueError:
        raise UserError(f"{date!r} is not a date; write 2025-04-09, or 2025-04 or 2025 for its first day.") from None


def aged(date: str, today: datetime.date | None = None) -> str:
    """', 189 days old' for a figure of `date` that is older than 180 days, else nothing."""
    days = ((today or datetime.date.today()) - first_day(date)).days
    return said(", {days} days old", days=days) if days > STALE_DAYS else ""


def price_for(device: DeviceLike, given: str | None = None, *, today: datetime.date | None = None) -> Price | None:
    """The price of an hour of `device`, or None when nobody knows one.

    given: the text of `--price`, such as '$2/h', per device-hour; it overrides everything else.
    Raises UserError on a `given` or an overlay file that cannot be read as a price.
    """
    if given is not None:
        return price_given(given, today)
    return _from_overlay(device) or _from_catalogue(device)


def price_given(text: str, today: datetime.date | None = None) -> Price:
    """The price that `--price` says, of today. Raises UserError on a text that is none."""
    amount, currency = parse_price_per_hour(text)
    return Price(amount, currency, str(today or datetime.date.today()), "the command line", "given")


def ask_for_price(device: DeviceLike) -> str:
    """The sentence a verb shows when it has device-time and no price."""
    return (
        f"no price is known for {device.name}: device-time only; give one with --price '$2/h', or in {overlay_path()}"
    )


def overlay_path() -> Path:
    """The user's own prices: $CENTIME_HOME/prices.toml, or prices.csv where that exists and the former does not."""
    toml, table = centime_home() / "prices.toml", centime_home() / "prices.csv"
    return table if table.exists() and not toml.exists() else toml


def _from_catalogue(device: DeviceLike) -> Price | None:
    if device.kind == "cpu":
        return _cpu_price(device)
    chip = chip_for(device.name)
    rows = [row for row in (*refreshed_prices(), *catalogue_rows()) if row.kind in ("median", "rental")]
    found = [row for row in rows if chip and row.device == chip.name]
    if not found and not chip:  # a GPU that is priced but has no row among the chips: its most precise namesakes
        namesakes = [row for row in rows if names_match(row.device, device.name)]
        longest = max((len(words(row.device)) for row in namesakes), default=0)
        found = [row for row in namesakes if len(words(row.device)) == longest]
    if not found:
        return None
    medians = [row for row in found if row.kind == "median"]
    if medians:
        row = max(medians, key=lambda row: row.date)
    else:  # no published median: the lower median of the offers, a price that somebody really asks
        row = sorted(found, key=lambda row: row.per_hour)[(len(found) - 1) // 2]
    note = said("{device}, {provider}", device=row.device, provider=said(row.provider))
    return Price(row.per_hour, row.currency, row.date, cited(row.id, row.source), "catalogue", note)


def _cpu_price(device: DeviceLike) -> Price | None:
    row = next((row for row in catalogue_rows() if row.kind == "cpu"), None)
    if row is None or not row.vcpus:
        return None
    per_vcpu = row.per_hour / row.vcpus
    known = device.instance is not None and device.instance in row.device
    vcpus = f"{device.vcpus} vCPU{'s' if device.vcpus != 1 else ''}"
    rate = format_money(per_vcpu, row.currency)
    note = f"priced as {vcpus} of {row.provider}, {row.device}, {rate} per vCPU-hour"
    return Price(
        per_vcpu * device.vcpus,
        row.currency,
        row.date,
        cited(row.id, row.source),
        "catalogue" if known else "assumed",
        note,
    )


def _from_overlay(device: DeviceLike) -> Price | None:
    """The overlay's first row whose words are all in the device's name, or that names its chip."""
    path = overlay_path()
    if not path.exists():
        return None
    chip = chip_for(device.name)
    for row in read_overlay(path):
        if names_match(row.device, device.name) or (chip and row.device == chip.name):
            scale = device.vcpus / row.vcpus if row.vcpus else 1.0
            return Price(row.per_hour * scale, row.currency, row.date, row.source or str(path), "overlay", row.device)
    return None


def cited(id: str, source: str) -> Said:
    """'P0184: alpha-one-index/ai-infra-index': a row of a table and who says so."""
    return said("{name}: {source}", name=id, source=said(source))


@functools.cache
def catalogue_rows() -> tuple[PriceRow, ...]:
    """Every row of the catalogue's prices.csv."""
    return tuple(_row(line, "prices.csv") for line in read_rows(HERE / "prices.csv"))


def refreshed_prices() -> tuple[PriceRow, ...]:
    """Every price of an hour that was fetched since (`centime.catalogue.refreshed`). Raises UserError for a file that
    is not as it was written."""
    return _refreshed(refreshed_rows("skypilot"), str(refreshed_path("skypilot")))


def _refreshed(rows: tuple[Row, ...], where: str) -> tuple[PriceRow, ...]:
    return tuple(_row(row, f"{where}, price {number}") for number, row in enumerate(rows, 1))


def read_overlay(path: Path) -> list[PriceRow]:
    """The rows of a user's prices.toml ([[price]] tables) or prices.csv.

    Keys: device (words of the device's name, or a chip of the catalogue), per_hour, currency, date, and, optional,
    vcpus (the price is for that many vCPUs), source. Raises UserError naming the file, the entry and the key.
    """
    if path.suffix == ".csv":
        entries: Any = read_rows(path)
    else:
        tables = parse_toml(read_text(path, "prices, or none at all"), str(path))
        entries = tables.get("price", [])
        whole = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        strange = next((key for key in tables if key != "price"), None if whole else "price")
        if strange is not None:
            raise UserError(f"{path} has a table {strange!r}; each price is a [[price]] table.")
    return [_overlay_row(entry, f"{path}, price {index}") for index, entry in enumerate(entries, 1)]


def _overlay_row(entry: Mapping[str, Any], where: str) -> PriceRow:
    needed, optional = ("device", "per_hour", "currency", "date"), ("vcpus", "source", "provider", "terms")
    for key in entry:
        if key not in needed + optional:
            raise UserError(
                f"{where}: unknown key {key!r}.{nearest(key, needed + optional)} Keys: {', '.join(needed + optional)}."
            )
    if not re.fullmatch("[A-Z]{3}", str(entry.get("currency", "USD"))):
        raise UserError(f"{where}: currency {entry['currency']!r} is no code of three capitals, such as USD or EUR.")
    for key in needed:
        if not str(entry.get(key) or "").strip():
            raise UserError(f"{where}: {key!r} is missing; a price needs {', '.join(needed)}.")
    defaults = {
        "id": "own",
        "kind": "overlay",
        "provider": "",
        "terms": "",
        "confidence": "own",
        "source": "",
        "vcpus": "",
    }
    return _row({**defaults, **{key: str(value) for key, value in entry.items()}}, where)


def _row(line: Mapping[str, str], where: str) -> PriceRow:
    try:
        per_hour, vcpus = float(line["per_hour"]), int(line["vcpus"]) if line["vcpus"] else None
        first_day(line["date"])
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: {error}; per_hour is a number, vcpus a whole one, date YYYY-MM-DD.") from None
    if not 0 <= per_hour < math.inf or (vcpus is not None and vcpus < 1):
        raise UserError(
            f"{where}: a price is at least 0 and vcpus at least 1; found {line['per_hour']}, {line['vcpus'] or 'none'}."
        )
    return PriceRow(**{**line, "per_hour": per_hour, "vcpus": vcpus})  # type: ignore[arg-type]
