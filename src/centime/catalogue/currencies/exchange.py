"""Exchange rates, dated and named: a small table, which the user's own $CENTIME_HOME/currencies.csv goes before.

Both have the columns currency, per_eur (units that a euro buys), date and source. Nothing is fetched, and a currency
that neither has is refused.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path

from centime.catalogue.chips import HERE
from centime.catalogue.home import centime_home
from centime.catalogue.prices import Price, aged, day
from centime.csv_files import read_rows
from centime.errors import UserError, nearest
from centime.messages import Amount, Said, said

TABLE = HERE / "currencies.csv"
EURO = "EUR"
_COLUMNS = ("currency", "per_eur", "date", "source")


@dataclass(frozen=True)
class ExchangeRate:
    """What a unit of one currency is in another, of a day, and who says so."""

    base: str  # ISO 4217
    quote: str
    value: float
    date: str
    source: str

    def sentence(self) -> Said:
        """'1 USD = 0.8726 EUR (European Central Bank, euro reference rates; 2026-09-18)'."""
        return said(
            "1 {base} = {value:.4g} {quote} ({source}; {date:date}{age})",
            base=self.base,
            value=self.value,
            quote=self.quote,
            source=said(self.source),
            date=self.date,
            age=aged(self.date),
        )


def overlay_path() -> Path:
    """The user's own rates."""
    return centime_home() / "currencies.csv"


def exchange_rate(base: str, quote: str) -> ExchangeRate:
    """What a unit of `base` is in `quote`, by way of the euro. Raises UserError on a currency without a rate."""
    known = _known()
    for code in (base, quote):
        if code != EURO and code not in known:
            names = sorted({EURO, *known})
            raise UserError(
                f"No exchange rate is known for the currency {code!r}.{nearest(code, names)} Known: "
                f"{', '.join(names)}; add a row ({', '.join(_COLUMNS)}) to {overlay_path()}."
            )
    rows = [known[code] for code in (base, quote) if code != EURO]
    per_eur = {EURO: 1.0} | {row.quote: row.value for row in rows}
    oldest = min(rows, key=lambda row: row.date) if rows else ExchangeRate(EURO, EURO, 1.0, "", "")
    source = "; ".join(dict.fromkeys(row.source for row in rows))
    return ExchangeRate(base, quote, per_eur[quote] / per_eur[base], oldest.date, source)


def in_currency(price: Price, currency: str | None) -> Price:
    """The price in another currency, its note naming the rate; as it is where none, or its own, is asked for."""
    if currency is None or currency == price.currency:
        return price
    rate = exchange_rate(price.currency, currency)
    note = said("{note}; {rate}", note=said(price.note), rate=rate.sentence()) if price.note else rate.sentence()
    return replace(price, per_device_hour=price.per_device_hour * rate.value, currency=currency, note=note)


def converted(amount: Amount, currency: str) -> Amount:
    """An amount in another currency. Raises UserError as `exchange_rate`."""
    if amount.currency == currency:
        return amount
    return Amount(amount.value * exchange_rate(amount.currency, currency).value, currency)


def _known() -> dict[str, ExchangeRate]:
    own = overlay_path()
    return _shipped() | (_read(own) if own.is_file() else {})


@functools.cache
def _shipped() -> dict[str, ExchangeRate]:
    return _read(TABLE)


def _read(path: Path) -> dict[str, ExchangeRate]:
    """The rates of a table by currency. Raises UserError naming the row and what is wrong with it."""
    found = {}
    for number, row in enumerate(read_rows(path), 1):
        where = f"{path}, rate {number}"
        missing = [key for key in _COLUMNS if not (row.get(key) or "").strip()]
        if missing:
            raise UserError(f"{where}: {missing[0]!r} is missing; a rate needs {', '.join(_COLUMNS)}.")
        try:
            value = float(row["per_eur"])
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf:
            raise UserError(f"{where}: per_eur is {row['per_eur']!r}; expected how many units a euro buys, above 0.")
        day(row["date"])
        found[row["currency"]] = ExchangeRate(EURO, row["currency"], value, row["date"], row["source"])
    return found
