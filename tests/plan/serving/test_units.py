"""Layouts that a model does not have are refused by the degree that is wrong."""

from __future__ import annotations

import pytest

from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.serving.units import Unit, check_units


@pytest.mark.parametrize(
    ("model", "unit", "gpus", "says"),
    [
        ("deepseek-v3", Unit(tp=7), None, "tp 7 does not divide the 128 attention heads"),
        ("llama-3.1-70b", Unit(tp=64, pp=81), None, "pp 81 is more than the 80 layers"),
        ("deepseek-v3", Unit(dp=1024, ep=1024), None, "routes to 256"),
        ("deepseek-v3", Unit(dp=144, ep=144), 64, "takes 144 GPUs .*there are 64"),
    ],
)
def test_what_does_not_exist(model: str, unit: Unit, gpus: int | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_units({"decode": unit}, architecture(model), gpus)


def test_deepseeks_own_units_exist() -> None:
    own = {"prefill": Unit(dp=32, ep=32), "decode": Unit(tp=4, dp=80, ep=320)}
    check_units(own, architecture("deepseek-v3"), None)
    check_units({"mixed": Unit(tp=16)}, architecture("llama-3.1-405b"), 16)
