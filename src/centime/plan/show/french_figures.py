"""Figures and dates in a text, as French writes them: 2 788,5 $, 14 800 Md de jetons, 96 Go, le 27 février 2025."""

from __future__ import annotations

import re
from decimal import Decimal

THIN = "\u202f"  # narrow no-break space: between thousands, before a unit

MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
    "décembre",
)  # fmt: skip
_SCALES = {"K": "k", "B": "Md"}  # milliard: 10^9; a French billion is 10^12
_COUNTED = "jetons|paramètres|requêtes|puces|GPU"
_DATE = re.compile(
    r"\b(le|[Dd]u|depuis|[Dd]e|[Ee]n|[Aa]u|à) ((?:19|20)\d\d)-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?\b(?!-)"
)
_WITH_DAY = {"de": "du", "en": "le", "depuis": "depuis le", "à": "au"}
_WITH_MONTH = {"le": "en", "du": "de", "au": "à"}


def figures_in_french(text: str) -> str:
    """Digits in groups of three by narrow spaces, decimal commas, the currency behind, k and Md for K and B."""
    text = re.sub(r"(?<=\d),(?=\d{3})", THIN, text)
    text = re.sub(r"(?<![A-Za-z\d]-\d)(?<![A-Za-z\d]-\d\d)(?<![A-Za-z]\d)(?<=\d)\.(?=\d)(?!\d{5})", ",", text)
    text = re.sub(r"(?<=\d) ?%", f"{THIN}%", text)
    text = re.sub(rf"([$€£¥])(\d[\d{THIN},]*(?: [KMBTP]\b)?)", "\\2" + THIN + "\\1", text)
    text = re.sub(rf"(?<![\w.-])(\d[\d{THIN},]*)([ {THIN}])([KBTP])(?![\w/-])", _scaled, text)
    text = re.sub(r"(?<=\d)( |\u202f)([KMGTP])iB\b", lambda m: f"{m[1]}{m[2]}io", text)
    text = re.sub(r"(?<=\d)( |\u202f)([KMGT])B\b", lambda m: f"{m[1]}{m[2]}o", text)
    return _of(text)


def _scaled(match: re.Match[str]) -> str:
    """'62,9 B' is '62,9 Md', '14,8 T' '14 800 Md', '1,00 P' '1 000 000 Md'."""
    number, space, scale = match[1], match[2], match[3]
    if scale in _SCALES:
        return f"{number}{space}{_SCALES[scale]}"
    value = {"T": 1000, "P": 1_000_000}[scale] * Decimal(number.replace(THIN, "").replace(",", "."))
    whole = f"{value:,f}" if value % 1 else f"{value:,.0f}"
    whole, _, rest = whole.partition(".")
    return f"{whole.replace(',', THIN)}{',' + rest.rstrip('0') if rest.rstrip('0') else ''}{space}Md"


def _of(text: str) -> str:
    """Millions and milliards are nouns: 'M de jetons', 'Md d'heures'."""
    text = re.sub(rf"(?<=\d)([ {THIN}](?:Md|M)) (?=(?:{_COUNTED})\b)", r"\1 de ", text)
    return re.sub(rf"(?<=\d)([ {THIN}](?:Md|M)) (?=heures\b)", r"\1 d'", text)


def prose_in_french(text: str) -> str:
    """'le 2025-02-27' is 'le 27 février 2025', 'depuis 2025-07' 'depuis juillet 2025', '2 M heures' '2 M d'heures';
    no line begins with a colon. Dates in tables stay ISO's."""
    return re.sub(r" (?=[:;!?»])|(?<=«) ", "\u00a0", _DATE.sub(_dated, _of(text)))


def _dated(match: re.Match[str]) -> str:
    before, year, month, day = match[1], match[2], MONTHS[int(match[3]) - 1], match[4]
    small = before.lower()
    after = _WITH_DAY.get(small, small) if day else _WITH_MONTH.get(small, small)
    after = after.capitalize() if before[0].isupper() else after
    if day:
        return f"{after} {'1ᵉʳ' if day == '01' else int(day)} {month} {year}"
    if after.lower() == "de" and month[0] in "ao":
        return f"{after[0]}'{month} {year}"
    return f"{after} {month} {year}"
