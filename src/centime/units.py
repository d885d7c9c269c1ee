"""Quantities as people write and read them: 14.8T tokens, 10m, $0.05, 1.5 GiB."""

from __future__ import annotations

import math
import re

from centime.errors import UserError

HOUR_NS = 3_600_000_000_000  # nanoseconds in an hour
SECONDS_PER_DAY = 86400.0

_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12, "p": 1e15}
_FRENCH_SCALES = {r"[Mm]illiards?(?:\s+d[e'])?|Mds?": "B", r"[Mm]illions?(?:\s+d[e'])?": "M"}
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_CURRENCY = {"$": "USD", "€": "EUR", "¥": "CNY", "£": "GBP"}


def parse_count(text: str) -> float:
    """'14.8T' -> 14.8e12, '2M' -> 2e6, '2_048' -> 2048.0. Raises UserError on anything else."""
    match = re.fullmatch(r"\s*([\d_,]*\.?\d+(?:e[+-]?\d+)?)\s*([kmgbtp]?)\s*", text, re.IGNORECASE)
    if not match:
        raise UserError(
            f"{text!r} is not a quantity; write a number with an optional K, M, B or T, such as 2M or 14.8T."
        )
    count = float(match[1].replace("_", "").replace(",", "")) * _SCALE[match[2].lower()]
    if math.isinf(count):
        raise UserError(f"{text!r} is not a quantity that can be held; write a smaller one, such as 2M or 14.8T.")
    return count


def parse_duration(text: str) -> float:
    """'10m' -> 600.0 seconds; units s, m or min, h, d. Raises UserError on anything else."""
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(s|min|m|h|d)\s*", text)
    if not match:
        raise UserError(f"{text!r} is not a duration; write a number and s, m, h or d, such as 90s or 10m.")
    value = float(match[1]) * _SECONDS[match[2]]
    if math.isinf(value):
        raise UserError(f"{text!r} is larger than any number a computer holds (1.8e308).")
    return value


def parse_money(text: str) -> tuple[float, str]:
    """'$0.05' -> (0.05, 'USD'); '0.05 EUR' -> (0.05, 'EUR'); '80 Md$' or '80 milliards $' -> (8e10, 'USD').

    Raises UserError on anything else.
    """
    stripped = text.strip()
    for words, letter in _FRENCH_SCALES.items():
        stripped = re.sub(rf"(?<=\d)\s*(?:{words})\s*(?=[$€¥£]|[A-Z]{{3}}$)", letter, stripped)
    match = re.fullmatch(r"([$€¥£])(.+)|(.+?)\s*(?:([A-Z]{3})|([$€¥£]))", stripped)
    try:
        if match is not None:
            return parse_count(match[2] or match[3]), match[4] or _CURRENCY[match[1] or match[5]]
    except UserError:
        pass  # of a quantity: a person wrote an amount
    raise UserError(f"{text!r} is not an amount of money; write it as '$0.05' or '0.05 EUR'.")


def parse_price_per_hour(text: str) -> tuple[float, str]:
    """'$2/h' or '2 EUR/h' or '$2' -> (2.0, 'USD' or 'EUR'), per device-hour. Raises UserError on anything else."""
    amount = re.sub(r"\s*/\s*(h|hour|hr)\s*$", "", text.strip())
    try:
        return parse_money(amount)
    except UserError:
        hint = f"'${amount}/h' or '{amount} EUR/h'" if re.fullmatch(r"\d*\.?\d+", amount) else "'$2/h' or '2 EUR/h'"
        raise UserError(f"{text!r} is not a price of an hour; write it as {hint}.") from None


def format_count(value: float, significant: int = 3) -> str:
    """2_000_000 -> '2.00 M'; so many significant digits above a thousand, as it is below."""
    thousand = 1000 - 0.5 * 10.0 ** (3 - significant)  # from there on these digits round up to it
    if abs(value) < thousand:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.{significant}g}"
    scale = min(int(math.log10(abs(value)) // 3), 5)
    scaled = value / 1000**scale
    if abs(scaled) >= thousand and scale < 5:
        scale, scaled = scale + 1, scaled / 1000
    digits = max(0, significant - 1 - int(math.log10(abs(scaled))))
    return f"{scaled:.{digits}f} {('', 'K', 'M', 'B', 'T', 'P')[scale]}"


def plural(number: float, thing: str, things: str = "") -> str:
    """'1 shard', '2 shards', '1,234 documents'; `things` where the plural is more than an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def format_flops(value: float) -> str:
    """249.7e9 -> '249.7 GFLOP'; four significant digits, SI prefixes (a thousand million is G, not B)."""
    number, _, prefix = format_count(value, significant=4).partition(" ")
    return f"{number} {prefix.replace('B', 'G')}FLOP"


def format_watts(value: float) -> str:
    """2.15e9 -> '2.15 GW'; three significant digits, SI prefixes."""
    number, _, prefix = format_count(value).partition(" ")
    return f"{number} {prefix.replace('B', 'G').replace('K', 'k')}W"


def currency_symbol(currency: str) -> str:
    """'USD' -> '$'; nothing where its code is what people write."""
    return next((symbol for symbol, code in _CURRENCY.items() if code == currency), "")


def money_digits(value: float) -> str:
    """0.0051 -> '0.00510'; cents and up with two decimals, smaller amounts with three significant digits."""
    if value == 0 or abs(value) >= 0.995:
        return f"{value:,.2f}"
    return f"{value:.{min(12, 2 - math.floor(math.log10(abs(value))))}f}"


def format_money(value: float, currency: str) -> str:
    """0.0051 -> '$0.00510'; the digits of `money_digits`."""
    symbol = currency_symbol(currency)
    return f"{symbol}{money_digits(value)}" if symbol else f"{money_digits(value)} {currency}"


def format_duration(seconds: float) -> str:
    """3725 -> '1h 02m'; 65 -> '1m 05s'; 5.21 -> '5.2s'."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def format_device_time(seconds: float) -> str:
    """Device-time on a bill: 0.0093 -> '9.3ms', 5.2 -> '5.2s', 65 -> '1m 05s'; from an hour on in hours, '2.5 h', as
    Table 1 of the DeepSeek-V3 report has them."""
    if seconds >= 3599.5:
        hours = seconds / 3600
        return f"{hours:,.1f} h" if hours >= 999.95 else f"{hours:.4g} h"
    if 0 < seconds < 0.9995:
        return f"{format_number(1e3 * seconds)}ms"
    return format_duration(seconds)


def format_number(value: float, significant: int = 3) -> str:
    """So many significant digits, never an exponent, no zeros at the end: 0.00258 -> '0.00258', 420.0 -> '420'."""
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_energy(kwh: float) -> str:
    """0.0042 -> '4.2 Wh', 2.5 -> '2.5 kWh', 3e-8 -> '0.03 mWh', 12345.6 -> '12,346 kWh'; three significant digits."""
    if kwh >= 999.5:
        return f"{kwh:,.0f} kWh"
    if kwh >= 1:
        return f"{format_number(kwh)} kWh"
    return f"{format_number(1e3 * kwh)} Wh" if kwh >= 1e-6 or not kwh else f"{format_number(1e6 * kwh)} mWh"


def format_bytes(count: float) -> str:
    """1_610_612_736 -> '1.50 GiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"
