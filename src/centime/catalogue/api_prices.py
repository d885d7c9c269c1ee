"""What providers ask per million tokens: dated price lists, hit and miss of the context cache apart."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.prices import aged
from centime.catalogue.refreshed import Stamp, refreshed_path, refreshed_rows, stamp
from centime.csv_files import Row, read_rows
from centime.errors import UserError, nearest
from centime.messages import Said, said
from centime.units import parse_count

TABLE = Path(__file__).parent / "api_prices.csv"
OFF_PEAK = "off-peak"
# What a provider's API calls a model that its lists name otherwise (DeepSeek API documentation, 2026-09-10).
ALIASES = {"deepseek-flash": "deepseek-v4.1-flash"}


@dataclass(frozen=True)
class PriceList:
    """Amounts per million tokens: input found in the context cache, other input, output."""

    id: str
    model: str
    provider: str
    date: str  # from when, or when it was seen; ISO 8601, a month alone where the source says no more
    hit: float  # the price of a miss where the provider names none
    miss: float
    output: float
    currency: str
    terms: str
    source: str
    effective: str = ""  # from which instant, such as 2026-08-16T16:00Z; '' where the day alone is known

    @property
    def name(self) -> str:
        """'deepseek-r1 (2025-01-20, list price)'."""
        return f"{self.model} ({self.date}, {self.terms})" if self.date else self.model

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> Said:
        """'deepseek-r1 (2025-01-20, list price, 600 days old)'."""
        if not self.date:
            return said(self.model)
        return said(
            "{model} ({date:date}, {terms}{age})",
            model=self.model,
            date=self.date,
            terms=said(self.terms),
            age=aged(self.date),
        )


@functools.cache
def shipped_lists() -> tuple[PriceList, ...]:
    """All lists of the catalogue that price input and output."""
    return _lists(read_rows(TABLE))


def price_lists() -> tuple[PriceList, ...]:
    """Those of the catalogue, and those that `centime catalogue update` fetched."""
    return shipped_lists() + _fetched(stamp("litellm"))


@functools.lru_cache(maxsize=4)
def _fetched(_found: Stamp | None) -> tuple[PriceList, ...]:
    """The fetched lists, but those of a model that the catalogue has of another provider, or with hours or instants:
    a table without them would be asked at the wrong ones."""
    try:
        found = _lists(refreshed_rows("litellm"))
    except ValueError as error:
        path = refreshed_path("litellm")
        raise UserError(f"{path}: {error}; run `centime catalogue update` again, or delete the file.") from None
    providers = {row.model.lower(): row.provider for row in shipped_lists()}
    exact = {row.model.lower() for row in shipped_lists() if row.effective or row.terms.startswith(OFF_PEAK)}
    return tuple(
        row for row in found if providers.get(row.model, row.provider) == row.provider and row.model not in exact
    )


def _lists(rows: Iterable[Row]) -> tuple[PriceList, ...]:
    return tuple(
        PriceList(
            row["id"],
            row["model"],
            row["provider"],
            row["date"],
            float(row["hit"] or row["miss"]),
            float(row["miss"]),
            float(row["output"]),
            row["currency"],
            row["terms"],
            row["source"],
            row["effective"],
        )
        for row in rows
        if row["miss"] and row["output"]
    )


def lists_of(model: str) -> list[PriceList]:
    """Every list of a model, however its name is capitalised, off-peak ones too, oldest first."""
    wanted = model.lower()
    return sorted(
        (row for row in price_lists() if row.model.lower() == wanted), key=lambda row: (row.date, row.effective)
    )


def price_list(text: str, date: str | None = None) -> PriceList:
    """A model's list ('deepseek-r1'; 'deepseek-v4-pro off-peak'), an id ('D003'), or amounts: '0.14,0.55,2.19'.

    Of a model's dated lists, the newest that is not after `date` (else the first of all). Amounts are per million
    tokens: hit, miss, output, in dollars unless a currency follows ('0.1,0.5,2 EUR'). Raises UserError for an unknown
    name, nearest offered.
    """
    amounts, currency = _currency(text)
    parts = amounts.replace("$", "").split(",")
    if len(parts) == 3:
        hit, miss, output = (parse_count(part) for part in parts)
        return PriceList("", text, "", "", hit, miss, output, currency, "given", "the command line")
    wanted = text.strip().lower()
    off_peak = wanted.endswith(OFF_PEAK)
    model = wanted.removesuffix(OFF_PEAK).strip()
    model = ALIASES.get(model, model)
    own = [row for row in price_lists() if row.id.lower() == wanted]
    own = own or [row for row in lists_of(model) if off_peak == row.terms.startswith(OFF_PEAK)]
    if not own:
        names = sorted({row.model for row in price_lists()} | set(ALIASES))
        raise UserError(
            f"{text!r} is no price list of the catalogue: name a model such as deepseek-r1, or dollars per million "
            f"tokens as hit,miss,output such as 0.14,0.55,2.19.{nearest(model, names)}"
        )
    return next((row for row in reversed(own) if date is None or row.date <= date), own[0])


def _currency(text: str) -> tuple[str, str]:
    """Given amounts, and the currency behind them."""
    match = re.fullmatch(r"(.*,.*\S)\s+([A-Z]{3})\s*", text)
    return (match[1], match[2]) if match else (text, "USD")
