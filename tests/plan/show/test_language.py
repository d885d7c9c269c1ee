"""Figures as French writes them, and what it leaves alone."""

from __future__ import annotations

import pytest

from centime.plan.show.language import number


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("$2,788.5", "2_788,5_$"),
        ("-$5.533 M", "-5,533 M_$"),
        ("$2.00 a chip-hour, $1 more", "2,00_$ a chip-hour, 1_$ more"),
        ("97.7% of it, +1.2 %", "97,7_% of it, +1,2_%"),
        ("2,470,137 – 3,148,649", "2_470_137 – 3_148_649"),
        (
            "Llama-3.1-405B and V3.2, arXiv 2407.21783, 2024-12-27",
            "Llama-3.1-405B and V3.2, arXiv 2407.21783, 2024-12-27",
        ),
        ("pp=16,ep=64", "pp=16,ep=64"),
    ],
)
def test_numbers(english: str, french: str) -> None:
    assert number(english, "fr") == french.replace("_", "\u202f")
    assert number(english, "en") == english
