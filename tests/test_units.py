"""Quantities as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.units import format_energy


@pytest.mark.parametrize(
    ("kwh", "said"),
    [
        (0, "0 Wh"),
        (3e-8, "0.03 mWh"),
        (4.2e-6, "0.0042 Wh"),
        (0.0042, "4.2 Wh"),
        (1, "1 kWh"),
        (12.3456, "12.3 kWh"),
        (12345.6, "12,346 kWh"),
    ],
)
def test_energy_has_three_digits(kwh: float, said: str) -> None:
    assert format_energy(kwh) == said


@given(st.floats(1e-15, 1e12))
def test_energy_is_what_is_written(kwh: float) -> None:
    number, unit = format_energy(kwh).replace(",", "").split()
    assert float(number) * {"mWh": 1e-6, "Wh": 1e-3, "kWh": 1.0}[unit] == pytest.approx(kwh, rel=0.006)
    assert "e" not in number
