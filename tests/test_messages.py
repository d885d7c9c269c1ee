"""Messages with typed values, and figures as a language writes them."""

from __future__ import annotations

import pickle
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.messages import THIN, Amount, Said, Writer, said
from centime.units import format_count, format_money, format_watts

ENGLISH = Writer("en")
LINES = {
    "{n:,|day|days} ago": "il y a {n:,|jour|jours}",
    "{hours:count|hour|hours} of {model}": "{hours:count|heure|heures} de {model}",
    "since {day:date}": "{day:date depuis}",
    "{price:money}, {why}": "{price:money}, {why}",
    "the list": "le tarif",
    "{share:.1%} of {n}": "{share:.1%} de {n}",
}
FRENCH = Writer("fr", LINES)


@pytest.mark.parametrize(
    ("value", "english", "french"),
    [
        (0, "0", "0"),
        (0.3299, "0.33", "0,33"),
        (2050, "2.05 K", "2_050"),
        (62_900, "62.9 K", "62_900"),
        (2.5e6, "2.50 M", "2,50_M"),
        (62.9e9, "62.9 B", "62,9_Md"),
        (14.8e12, "14.8 T", "14_800_Md"),
        (1.02e15, "1.02 P", "1_020_000_Md"),
    ],
)
def test_a_count_is_written_with_the_language_s_scales(value: float, english: str, french: str) -> None:
    assert ENGLISH.count(value) == english == format_count(value)
    assert FRENCH.count(value) == french.replace("_", THIN)


@pytest.mark.parametrize(
    ("arguments", "english", "french"),
    [
        ((2788.5, "USD"), "$2,788.50", "2_788,50_$"),
        ((-5.533, "USD", ",.3f", "M"), "-$5.533 M", "-5,533_M$"),
        ((2.5, "USD", ".1f", "B"), "$2.5 B", "2,5_Md$"),
        ((88.0, "EUR", ".1f", "K"), "€88.0 K", "88,0_k€"),
        ((3, "CHF"), "3.00 CHF", "3,00_CHF"),
        ((1.5, "CHF", ".1f", "M"), "1.5 M CHF", "1,5_M_CHF"),
    ],
)
def test_money_has_its_currency_where_the_language_puts_it(arguments: tuple, english: str, french: str) -> None:
    assert ENGLISH.money(*arguments) == english
    assert FRENCH.money(*arguments) == french.replace("_", THIN)


def test_short_money_keeps_three_digits() -> None:
    assert [ENGLISH.short_money(x, "USD") for x in (86.4e6, -503e3, 14.8e12)] == ["$86.4 M", "-$503 K", "$14.8 T"]
    assert [FRENCH.short_money(x, "USD").replace(THIN, "_") for x in (86.4e6, -503e3, 14.8e12)] == [
        "86,4_M$",
        "-503_k$",
        "14_800_Md$",
    ]


def test_other_figures() -> None:
    assert (ENGLISH.percent(0.0123, "+.1f"), FRENCH.percent(0.0123, "+.1f")) == ("+1.2 %", f"+1,2{THIN}%")
    assert (ENGLISH.number(0.977, ".1%"), FRENCH.number(0.977, ".1%")) == ("97.7%", f"97,7{THIN}%")
    assert (ENGLISH.number(8.65e22, ".3g"), FRENCH.number(8.65e22, ".3g")) == ("8.65e+22", f"8,65{THIN}×{THIN}10²²")
    assert [FRENCH.number(value, ".0e").replace(THIN, "") for value in (1e22, 2e-7)] == ["10²²", "2×10⁻⁷"]
    assert (ENGLISH.quantity(70.02, ".1f", "GiB"), FRENCH.quantity(70.02, ".1f", "GiB")) == (
        "70.0 GiB",
        f"70,0{THIN}Gio",
    )
    assert (ENGLISH.watts(2.15e9), FRENCH.watts(2.15e9)) == ("2.15 GW", f"2,15{THIN}GW")


@pytest.mark.parametrize(
    ("date", "before", "french"),
    [
        ("2025-02-27", "le", "le 27 février 2025"),
        ("2025-07", "depuis", "depuis juillet 2025"),
        ("2023-10-17", "depuis", "depuis le 17 octobre 2023"),
        ("2026-08", "du", "d'août 2026"),
        ("2026-05-01", "au", "au 1ᵉʳ mai 2026"),
        ("2023", "du", "de 2023"),
        ("FY2025 Q1", "du", "FY2025 Q1"),
    ],
)
def test_dates_are_words_in_french_and_iso_in_english(date: str, before: str, french: str) -> None:
    assert FRENCH.date(date, before) == french
    assert ENGLISH.date(date, before) == date


def test_nouns_follow_their_number() -> None:
    message = "{n:,|day|days} ago"
    assert [ENGLISH.say(message, n=n) for n in (0, 1, 1200)] == ["0 days ago", "1 day ago", "1,200 days ago"]
    assert [FRENCH.say(message, n=n) for n in (0, 1, 1200)] == [
        "il y a 0 jour",
        "il y a 1 jour",
        f"il y a 1{THIN}200 jours",
    ]
    assert (
        FRENCH.say("{hours:count|hour|hours} of {model}", hours=2.7e6, model="V3.2") == f"2,70{THIN}M d'heures de V3.2"
    )


def test_what_is_said_is_english_and_remembers() -> None:
    note = said("{price:money}, {why}", price=Amount(2, "USD"), why=said("the list"))
    assert note == "$2.00, the list"
    assert FRENCH.say(note) == f"2,00{THIN}$, le tarif"
    kept = pickle.loads(pickle.dumps(note))
    assert isinstance(kept, Said)
    assert FRENCH.say(kept) == FRENCH.say(note)
    assert FRENCH.say(said("since {day:date}", day="2025-07")) == "depuis juillet 2025"


def test_text_is_never_looked_through() -> None:
    for name in ("Llama-3.1-405B", "arXiv 2412.19437, section 3.2", "$5 {x} 14.8 T, 1,000"):
        assert FRENCH.say(name) == name
        assert name in FRENCH.say("{share:.1%} of {n}", share=0.5, n=name)


@pytest.mark.parametrize(
    ("message", "value", "english", "french"),
    [
        ("{n}", 12345, "12345", "12_345"),
        ("{n}", 12345.5, "12345.5", "12_345,5"),
        ("{n:count4}", 249.7e9, "249.7 B", "249,7_Md"),
        ("{n:T.1f} T", 14.8e12, "14.8 T", "14_800_Md T"),
        ("{n:,|million|millions}", -1, "-1 million", "-1 million"),
        ("{n:count|token|tokens}", 2e6, "2.00 M tokens", "2,00_M de tokens"),
        ("{n:count|hour|heures}", 3e9, "3.00 B heures", "3,00_Md d'heures"),
        ("{n:.1f}", [1.25, 2], "1.2, 2.0", "1,2, 2,0"),
        ("{n}", None, "None", "None"),
    ],
)
def test_a_figure_is_written_by_its_place(message: str, value: Any, english: str, french: str) -> None:
    assert ENGLISH.say(message, n=value) == english
    assert FRENCH.say(message, n=value).replace(THIN, "_") == french


def test_plain_figures_have_three_digits_and_all_of_them_from_a_thousand_on() -> None:
    assert [ENGLISH.plain(value) for value in (0.01234, 1.994, 432, 999.4, 999.5, 1000, -12345.6)] == [
        "0.0123", "1.99", "432", "999", "1,000", "1,000", "-12,346",
    ]  # fmt: skip


@given(st.floats(-1e18, 1e18), st.sampled_from([",.0f", ".1%", ".3g", "+.2f", ",.3f", "g"]))
def test_english_is_python_s_format_and_french_has_the_same_digits(value: float, spec: str) -> None:
    unsigned = spec.replace("+", "+z") if "+" in spec else f"z{spec}"  # Python's own word for it: no zero has a minus
    assert ENGLISH.number(value, spec) == format(value, unsigned)
    french = FRENCH.number(value, spec).replace(THIN, "").replace(",", ".")
    french = "1" if re.match("10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]", french) else french.partition("×")[0]
    english = format(value, unsigned).replace(",", "").partition("e")[0]
    assert french == english


@given(st.floats(0, 9.9e17))
def test_english_figures_are_those_of_units(value: float) -> None:
    assert ENGLISH.money(value, "USD") == format_money(value, "USD")
    assert ENGLISH.watts(value) == format_watts(value)


@given(st.floats(1, 9.9e17))
def test_a_count_is_the_same_number_in_both_languages(value: float) -> None:
    scale = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "P": 1e15, "Md": 1e9}

    def read(digits: str, word: str) -> Decimal:
        return Decimal(digits) * int(scale[word])

    english, french = format_count(value), FRENCH.count(value)
    digits, _, letter = english.partition(" ")
    word = french.rstrip("0123456789")[-2:] if french.endswith("Md") else french[-1] if french.endswith("M") else ""
    assert read(french.removesuffix(word).replace(THIN, "").replace(",", "."), word) == read(digits, letter)


@pytest.mark.parametrize(
    ("value", "spec", "written"),
    [
        (-0.00001, "+.1f", "+0.0"),
        (-0.0, ",.0f", "0"),
        (-0.0, "", "0.0"),
        (-0.04, ".1%", "-4.0%"),
        (-0.0004, ".1%", "0.0%"),
        (-1e-9, ".3g", "-1e-09"),
    ],
)
def test_what_rounds_to_nothing_is_not_below_it(value: float, spec: str, written: str) -> None:
    assert ENGLISH.number(value, spec) == written
