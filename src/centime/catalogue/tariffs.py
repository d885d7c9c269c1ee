"""What a served token is charged: price lists in whole pico-dollars per token, with peak and off-peak hours.

A price of so many micro-dollars per million tokens is as many pico-dollars (10**-12) per token, so that the charge for
a request is tokens x price in integers, exact, with nothing to round. Sixty-four bits of them are 9.2 million dollars.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from centime.catalogue.api_prices import OFF_PEAK, PriceList, price_list, price_lists
from centime.errors import UserError

PICO = 10**12  # pico-dollars in a dollar, and so in every currency
MILLION = 10**6
MOST = 9_000_000
"""Of a currency's unit: in a balance, for a request, per million tokens. 64 bits hold 9.2 million of pico-units."""
DAY_MINUTES = 24 * 60
DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Hours = Literal["", "peak", "off-peak"]
"""Which price applied: '' where a list has one price for all hours."""


@dataclass(frozen=True)
class TokenPrices:
    """Pico-units of the currency per token: prompt tokens found in the cache, other prompt tokens, output tokens."""

    hit: int
    miss: int
    output: int

    @property
    def dearest_input(self) -> int:
        """What a prompt token costs at most."""
        return max(self.hit, self.miss)


@dataclass(frozen=True)
class PeakHours:
    """Windows of the UTC day, in minutes from midnight (a window may pass midnight), on some days of the week."""

    windows: tuple[tuple[int, int], ...]
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)  # Monday is 0

    def contain(self, wall_ns: int) -> bool:
        """Whether a moment (nanoseconds since the epoch) lies in a window; the day is that of the window's start."""
        moment = datetime.datetime.fromtimestamp(wall_ns // 10**9, datetime.UTC)
        minute, day = moment.hour * 60 + moment.minute, moment.weekday()
        for start, end in self.windows:
            if start < end:
                if start <= minute < end and day in self.days:
                    return True
            elif (minute >= start and day in self.days) or (minute < end and (day - 1) % 7 in self.days):
                return True
        return False

    def __str__(self) -> str:
        windows = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in self.windows)
        days = "" if len(self.days) == 7 else " " + ",".join(DAY_NAMES[day] for day in self.days)
        return f"{windows} UTC{days.replace('Mon,Tue,Wed,Thu,Fri', 'Mon-Fri')}"


# DeepSeek's since 2026-08-16 (API documentation); it leaves out Chinese holidays, which are decreed a year at a time.
DEEPSEEK_PEAK = PeakHours(((60, 240), (360, 600)), (0, 1, 2, 3, 4))


@dataclass(frozen=True)
class Tariff:
    """A price list as requests are charged by it. `off_peak` None: one price for all hours."""

    name: str
    currency: str
    peak: TokenPrices
    off_peak: TokenPrices | None = None
    hours: PeakHours = DEEPSEEK_PEAK

    def at(self, wall_ns: int) -> tuple[TokenPrices, Hours]:
        """The amounts at a moment, in nanoseconds since the epoch, and which they are."""
        if self.off_peak is None:
            return self.peak, ""
        return (self.peak, "peak") if self.hours.contain(wall_ns) else (self.off_peak, "off-peak")

    def as_text(self) -> str:
        """JSON, for the book."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_text(text: str) -> Tariff:
        """What `as_text` wrote."""
        values: dict[str, Any] = json.loads(text)
        hours = values["hours"]
        return Tariff(
            values["name"],
            values["currency"],
            TokenPrices(**values["peak"]),
            TokenPrices(**values["off_peak"]) if values["off_peak"] else None,
            PeakHours(tuple((start, end) for start, end in hours["windows"]), tuple(hours["days"])),
        )

    def __str__(self) -> str:
        if self.off_peak is None:
            return f"{self.name}: {_per_million(self.peak)} {self.currency} per million tokens (hit/miss/output)"
        return (
            f"{self.name}: {_per_million(self.peak)} {self.currency} per million tokens (hit/miss/output) at peak, "
            f"{self.hours}; else {_per_million(self.off_peak)}"
        )


def tariff_for(text: str, *, date: str | None = None, hours: str | None = None) -> Tariff:
    """The tariff that a person names.

    text: a model of the catalogue's price lists ('deepseek-v4.1-flash', its off-peak list with it), a list's id
    ('D003', that list alone), or amounts per million tokens as hit,miss,output, then perhaps a slash and the off-peak
    three, then perhaps a currency: '0.14,0.55,2.19', '0.006,0.30,1.20/0.003,0.15,0.60', '1,2,3 CNY'. date: of a model's
    dated lists the newest not after it (ISO 8601), else the newest. hours: the peak hours, such as
    '01:00-04:00,06:00-10:00 Mon-Fri' (UTC); by default the list's own, DeepSeek's for given amounts.
    Raises UserError on anything else.
    """
    tariff = _given(text) if "," in text else _published(text, date)
    if hours is None:
        return tariff
    if tariff.off_peak is None:
        raise UserError(
            f"{text!r} has one price for all hours, so that peak hours mean nothing; give the off-peak amounts after a "
            "slash: 'hit,miss,output/hit,miss,output'."
        )
    return dataclasses.replace(tariff, hours=peak_hours(hours))


def picos(text: str, what: str) -> int:
    """'0.003625' (of a currency's unit) -> 3_625_000_000 pico-units. Raises UserError on anything but a plain number
    of at most twelve decimals, from 0 to MOST."""
    try:
        amount = Decimal(text.strip().lstrip("$€¥£").replace("_", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent  # a letter where it is no number
    if not isinstance(exponent, int) or not 0 <= amount <= MOST or amount != round(amount, 12):
        raise UserError(
            f"{what} is {text.strip()[:60]!r}; give a number of at least 0 and at most {MOST:,}, with at most 12 "
            "decimals, such as 0.55."
        )
    return int(amount.scaleb(12))


def peak_hours(text: str) -> PeakHours:
    """'16:30-00:30' or '01:00-04:00,06:00-10:00 Mon-Fri', in UTC. Raises UserError on anything else."""
    match = re.fullmatch(r"\s*([\d:,\s-]+?)\s*(?:UTC)?\s*([A-Za-z]{3}(?:-[A-Za-z]{3})?)?\s*", text)
    try:
        if match is None:
            raise ValueError
        windows = []
        for part in match[1].split(","):
            start, end = (_minutes(clock) for clock in part.strip().split("-"))
            if (start, end) != (0, DAY_MINUTES) and (end - start) % DAY_MINUTES == 0:
                raise UserError(
                    f"the peak hours {part.strip()} end when they begin; write 00:00-24:00 for the whole day."
                )
            windows.append((start, end))
        days = tuple(range(7))
        if match[2]:
            first, _, last = match[2].title().partition("-")
            begin = DAY_NAMES.index(first)
            length = (DAY_NAMES.index(last or first) - begin) % 7 + 1
            days = tuple(sorted((begin + offset) % 7 for offset in range(length)))
    except ValueError:
        raise UserError(
            f"{text!r} are no peak hours; write UTC windows and days such as '01:00-04:00,06:00-10:00 Mon-Fri'."
        ) from None
    return PeakHours(tuple(windows), days)


def _given(text: str) -> Tariff:
    match = re.fullmatch(r"\s*([^/A-Z]+?)(?:\s*/\s*([^/A-Z]+?))?(?:\s+([A-Z]{3}))?\s*", text)
    if match is None:
        raise UserError(
            f"{text!r} is no price list; write amounts per million tokens as hit,miss,output such as 0.14,0.55,2.19, "
            "with the off-peak ones after a slash, and a currency such as CNY if it is not USD."
        )
    off_peak = _amounts(match[2], text) if match[2] else None
    return Tariff(text.strip(), match[3] or "USD", _amounts(match[1], text), off_peak)


def _amounts(text: str, whole: str) -> TokenPrices:
    parts = text.split(",")
    if len(parts) != 3:
        raise UserError(f"{whole!r}: {len(parts)} amounts; per million tokens there are three: hit,miss,output.")
    return _per_token(*parts)


def _per_token(*amounts: str) -> TokenPrices:
    """Amounts per million tokens to pico-units per token."""
    found = []
    for text, what in zip(amounts, ("the price of a hit", "of a miss", "of output"), strict=True):
        whole, rest = divmod(picos(text, f"{what} per million tokens"), MILLION)
        if rest:
            raise UserError(
                f"{what} per million tokens is {text.strip()!r}; amounts are kept to a millionth per million tokens: "
                "give at most 6 decimals."
            )
        found.append(whole)
    return TokenPrices(*found)


def _published(text: str, date: str | None) -> Tariff:
    base = price_list(text, date)
    amounts = _of(base)
    is_id = base.id.lower() == text.strip().lower()
    off_peak = None if is_id or base.terms.startswith(OFF_PEAK) else _off_peak_of(base, date)
    if off_peak is None:
        return Tariff(base.name, base.currency, amounts)
    match = re.search(r"(\d\d:\d\d) to (\d\d:\d\d) UTC", off_peak.terms)  # the off-peak hours; the rest is peak
    hours = PeakHours(((_minutes(match[2]), _minutes(match[1])),)) if match else DEEPSEEK_PEAK
    name = f"{base.model} ({max(base.date, off_peak.date)})"
    return Tariff(name, base.currency, amounts, _of(off_peak), hours)


def _off_peak_of(base: PriceList, date: str | None) -> PriceList | None:
    """The off-peak list that goes with a model's list: the newest of that model, of the same day or later."""
    own = [
        row
        for row in price_lists()
        if row.model == base.model
        and row.terms.startswith(OFF_PEAK)
        and row.date >= base.date
        and (date is None or row.date <= date)
    ]
    return max(own, key=lambda row: row.date, default=None)


def _of(row: PriceList) -> TokenPrices:
    return _per_token(*(format(Decimal(repr(amount)), "f") for amount in (row.hit, row.miss, row.output)))


def _minutes(clock: str) -> int:
    """'16:30' -> 990. Raises ValueError."""
    match = re.fullmatch(r"([01]\d|2[0-4]):([0-5]\d)", clock.strip())
    if match is None or clock.strip() > "24:00":
        raise ValueError
    return int(match[1]) * 60 + int(match[2])


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _per_million(amounts: TokenPrices) -> str:
    return "/".join(
        format((Decimal(amount) * MILLION / PICO).normalize(), "f")
        for amount in (amounts.hit, amounts.miss, amounts.output)
    )
