"""Sentences that remember what they were made of, and the writer that says them in a language.

An English sentence is a message's name, so that code reads as it speaks; the values in it stay numbers, amounts and
dates until someone speaks:

    note = said("A failure every {hours:.0f} hours on {gpus:,} chips", hours=25.2, gpus=2048)   # English, for JSON
    w = Writer("fr", lines)                       # once a page; `lines`: English -> French
    w.say(note)                                   # "Une panne toutes les 25 heures sur 2 048 puces"
    w.count(14.8e12), w.money(2788.5, "USD")      # "14 800 Md", "2 788,50 $"

A value is written by the kind that its place names: a format of Python's (`,.0f`, `.1%`), or

    {tokens:count}                   three digits and a scale: 14.8 T; count4: four digits
    {tokens:T.1f}                    trillions where the sentence itself has their T, in English; a count elsewhere
    {price:money}                    an Amount: $2.00
    {day:date}, {day:date le}        ISO 8601 in English; the word goes before it where the language has articles
    {days:,|day|days}                a figure and its noun; the first form where the language counts one

Text and names are never looked through: what is no figure stays as it is.
"""

from __future__ import annotations

import datetime
import functools
import string
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from centime.units import currency_symbol, format_count, format_watts, money_digits

THIN = "\u202f"  # narrow no-break space: between thousands, before a unit
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# What a language makes of the scales of a count, (factor on the digits, word): a milliard is 10^9 in French, where a
# billion is 10^12, and a thousand has no letter but before a currency.
_SCALES = {"fr": {"K": (1000, ""), "B": (1, "Md"), "T": (1000, "Md"), "P": (1_000_000, "Md")}}
_SCALES_OF_MONEY = {"fr": _SCALES["fr"] | {"K": (1, "k")}}
_UNITS = {"fr": {"B": "o", "KiB": "Kio", "MiB": "Mio", "GiB": "Gio", "TiB": "Tio", "GB": "Go", "TB": "To"}}
# Before a date that has a day, and before a month or a year alone.
_ARTICLES = {
    "le": ("le ", "en "),
    "du": ("du ", "de "),
    "au": ("au ", "en "),
    "à": ("au ", "à "),
    "depuis": ("depuis le ", "depuis "),
}


class Amount(NamedTuple):
    """Money: how much of what (ISO 4217)."""

    value: float
    currency: str


class Said(str):
    """An English sentence that remembers its message and the values in it."""

    template: str
    values: dict[str, Any]


def said(template: str, **values: Any) -> Said:
    """The sentence with its values, in English; a `Writer` says it in another language."""
    out = Said(english().say(template, **values))
    out.template, out.values = template, values
    return out


class Writer(string.Formatter):
    """Says messages and writes figures in one language. Digits are Python's, rounded alike in every language; symbols,
    the place of a currency, dates and plurals of any language but English are Babel's."""

    def __init__(self, lang: str, lines: Mapping[str, str] | None = None) -> None:
        self.lang, self.lines = lang, lines or {}
        if lang == "en":  # as Python writes them: Babel takes a tenth of a plan's time to import
            self._symbols, self._percent, self._currency_first, self._space = {}, "%", True, " "
            return
        from babel import Locale

        self.locale = Locale(lang)
        symbols = self.locale.number_symbols["latn"]
        self._symbols = str.maketrans({",": symbols["group"], ".": symbols["decimal"]})
        self._percent = self.locale.percent_formats[None].pattern.removeprefix("#,##0").replace("\u00a0", THIN)
        self._currency_first = self.locale.currency_formats["standard"].pattern.startswith("¤")
        self._space = THIN

    def say(self, message: str, /, **values: Any) -> str:
        """The message, or a `Said` with its own values, in the language. Text without a line stays as it is."""
        if isinstance(message, Said):
            return self.say(message.template, **message.values)
        line = self.lines.get(message, message)
        return self.vformat(line, (), values) if values else line

    def format_field(self, value: Any, format_spec: str) -> str:
        """A value as its place in a message names it."""
        kind, *nouns = format_spec.split("|")
        if isinstance(value, Said):
            return self.say(value)
        if kind.startswith("date"):
            return self.date(str(value), kind.removeprefix("date").strip())
        if isinstance(value, Amount):
            return self.money(*value)
        if isinstance(value, list):
            return ", ".join(self.format_field(one, kind) for one in value)
        if isinstance(value, str | None):
            return str(value)
        if kind.startswith("count") or (kind.startswith("T") and self.lang != "en"):
            written = self.count(value, 4 if kind == "count4" else 3)
        elif kind.startswith("T"):
            written = self.number(value / 1e12, kind[1:])
        else:
            written = self.number(value, kind)
        return self.counted(written, value, nouns) if nouns else written

    def number(self, value: float, spec: str = ",") -> str:
        """A number by a format of Python's, with the language's symbols; whole numbers in groups where it names none in
        any language but English."""
        if not spec and self.lang != "en":
            spec = "," if isinstance(value, int) else ",g"
        digits, _, power = format(value, spec).partition("e")
        if digits.startswith("-") and not digits.strip("-0.,%"):  # what rounds to nothing is not below it
            digits = ("+" if "+" in spec else "") + digits[1:]
        if digits.endswith("%"):
            digits = digits[:-1] + self._percent
        digits = digits.translate(self._symbols)
        if not power:
            return digits
        if self.lang == "en":
            return f"{digits}e{power}"
        factor = "" if digits == "1" else f"{digits}{THIN}×{THIN}"
        return f"{factor}10{str(int(power)).translate(_SUPERSCRIPTS)}"

    def plain(self, value: float) -> str:
        """Three significant digits: 0.0123, 1.99, 432; all of them from a thousand on."""
        return self.number(value, ",.0f" if abs(value) >= 999.5 else ".3g")

    def percent(self, share: float, spec: str = ".1f") -> str:
        """0.123 -> '12.3 %'."""
        return f"{self.number(100 * share, spec)}{self._space}%"

    def quantity(self, value: float, spec: str, unit: str) -> str:
        """A number of a unit: '70.0 GiB', '46.9 ms'."""
        return f"{self.number(value, spec)}{self._space}{self.unit(unit)}"

    def unit(self, unit: str) -> str:
        """A unit's symbol: GiB is Gio in French."""
        return _UNITS.get(self.lang, {}).get(unit, unit)

    def count(self, value: float, significant: int = 3) -> str:
        """'14.8 T' in English, '14 800 Md' in French: so many significant digits (`units.format_count`)."""
        digits, _, letter = format_count(value, significant).partition(" ")
        written, word = self._scaled(digits, letter, _SCALES)
        return f"{written}{self._space}{word}" if word else written

    def _scaled(self, digits: str, letter: str, scales: Mapping[str, Mapping[str, tuple[int, str]]]) -> tuple[str, str]:
        """Digits and a letter as the language counts: ('14.8', 'T') -> ('14 800', 'Md')."""
        factor, word = scales.get(self.lang, {}).get(letter, (1, letter))
        if factor > 1:
            digits = f"{int(Decimal(digits.replace(',', '')) * factor):,}"
        return digits.translate(self._symbols), word

    def counted(self, written: str, value: float, nouns: Sequence[str]) -> str:
        """A figure with its noun, the first of `nouns` where it counts one. A million is a noun in French: 'M de
        jetons', 'Md d'heures'."""
        single = abs(value) == 1 if self.lang == "en" else self.locale.plural_form(value) == "one"
        noun = nouns[0] if single else nouns[-1]
        link = " "
        if self.lang == "fr" and written.endswith(("M", "Md")):
            link = " d'" if noun[0] in "aeiouyé" or noun.startswith("heure") else " de "
        return f"{written}{link}{noun}"

    def watts(self, value: float) -> str:
        """'2.15 GW': three significant digits."""
        digits, _, unit = format_watts(value).partition(" ")
        return f"{digits.translate(self._symbols)}{self._space}{unit}"

    def money(self, value: float, currency: str, spec: str = "", scale: str = "") -> str:
        """'$2.00', '-$5.533 M'. spec: of the digits; cents, or three digits below one, where there is none. scale: the
        K, M, B or T that the value is counted in."""
        digits = format(abs(value), spec) if spec else money_digits(abs(value))
        written, word = self._scaled(digits, scale, _SCALES_OF_MONEY)
        sign, symbol = "-" if value < 0 else "", currency_symbol(currency)
        if symbol and self._currency_first:
            return f"{sign}{symbol}{written}" + (f" {word}" if word else "")
        parts = [sign + written, word + symbol] if symbol else [sign + written, word, currency]
        return self._space.join(part for part in parts if part)

    def short_money(self, value: float, currency: str) -> str:
        """'$86.4 M': three significant digits with their scale."""
        digits, _, scale = format_count(value).partition(" ")
        return self.money(float(digits), currency, f".{len(digits.partition('.')[2])}f", scale)

    def date(self, date: str, before: str = "") -> str:
        """An ISO 8601 day, month or year: as it is in English, in words elsewhere, after `before` in the form that it
        takes there. Any other text stays as it is."""
        if self.lang == "en":
            return date
        from babel.dates import format_date

        parts = date.split("-")
        try:
            first = datetime.date(*[*map(int, parts), 1, 1][:3])
        except (TypeError, ValueError):
            return date
        day = "d" if first.day > 1 else "d'ᵉʳ'"
        written = format_date(first, ("y", "MMMM y", f"{day} MMMM y")[len(parts) - 1], self.locale)
        article = _ARTICLES[before][len(parts) < 3] if before else ""
        return f"d'{written}" if article == "de " and written[0] in "ao" else article + written


@functools.cache
def english() -> Writer:
    """The writer of English, whose lines are the messages themselves."""
    return Writer("en")
