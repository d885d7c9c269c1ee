"""What a server is told at its start."""

from __future__ import annotations

import math

import pytest

from centime.errors import UserError
from centime.serve.http.startup import check_patience


@pytest.mark.parametrize("seconds", [0.0, -1.0, 600.1, math.nan, math.inf])
def test_a_patience_is_above_nothing_and_ten_minutes_at_most(seconds: float) -> None:
    with pytest.raises(UserError):
        check_patience(seconds)
    for fits in (0.001, 600.0):
        check_patience(fits)
