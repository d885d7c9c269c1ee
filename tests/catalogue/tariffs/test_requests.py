"""The published vectors are what the lists charge, and the lists change nowhere without a vector beside."""

from __future__ import annotations

import csv
import itertools
from decimal import Decimal

import pytest

from centime.catalogue.tariffs import PICO, Tariff, instant_ns, tariff_for
from centime.catalogue.tariffs.requests import VECTORS, priced
from centime.errors import UserError

with VECTORS.open(encoding="utf-8", newline="") as _file:
    ROWS = list(csv.DictReader(_file))
MODELS = sorted({row["model"] for row in ROWS})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['instant']} {row['model']}")
def test_a_vector_is_what_is_charged(row: dict[str, str]) -> None:
    found = priced(row["model"], row["instant"], (3_000_000, 5_000_000, 7_000_000))
    hit, miss, output = (Decimal(row[name]) for name in ("hit", "miss", "output"))
    assert Decimal(found.picos) / PICO == 3 * hit + 5 * miss + 7 * output
    assert found.asked.hours == row["hours"]
    assert bool(found.asked.doubt) == (row["said"] == "no")


@pytest.mark.parametrize("model", MODELS)
def test_every_change_of_prices_has_a_vector_before_and_after(model: str) -> None:
    """What a program that follows the vectors alone would charge is what the lists charge, list by list."""
    tariff = tariff_for(model)
    seen = {_key(tariff.in_force(instant_ns(row["instant"]))) for row in ROWS if row["model"] == model}
    amounts = {_key(one) for one in (*tariff.earlier, tariff)}
    assert seen == amounts


def _key(one: Tariff) -> tuple[object, ...]:
    return one.peak, one.off_peak


@pytest.mark.parametrize("model", MODELS)
def test_a_list_is_asked_from_its_instant_and_not_a_nanosecond_before(model: str) -> None:
    tariff = tariff_for(model)
    lists = (*tariff.earlier, tariff)
    assert len(lists) > 1
    for before, after in itertools.pairwise(lists):
        assert tariff.in_force(after.since_ns - 1) == before
        assert tariff.in_force(after.since_ns) == after


def test_before_the_first_list_nothing_is_charged() -> None:
    with pytest.raises(UserError, match=r"first known price of deepseek-flash is of 2026-09-10T04:00Z"):
        priced("deepseek-flash", "2026-09-10T03:59:59Z")


def test_a_zone_other_than_utc_is_the_same_instant() -> None:
    assert priced("deepseek-v4-pro", "2026-08-23T00:00+08:00").as_json()["instant"] == "2026-08-22T16:00:00Z"


@pytest.mark.parametrize("text", ["2026-08-22", "2026-08-22T16:00", "yesterday", "", "2026-13-01T00:00Z"])
def test_what_is_no_instant_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="no instant"):
        priced("deepseek-v4-pro", text)
