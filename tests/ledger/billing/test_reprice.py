"""Other prices for what was served: exact, beside what was charged, which nothing changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.ledger.billing.printed import printed
from tests.ledger.made import HOUR, at
from tests.ledger.test_requests import ONE, add

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.ledger.billing.reprice import OtherPrices, repriced, repriced_json, repriced_table
from centime.ledger.requests import ServedRequest


def request(instant: str, tariff: str = "deepseek-v4-pro (2026-08-22)", **changes: object) -> ServedRequest:
    return dataclasses.replace(ONE, arrived_ns=at(instant), tariff=tariff, **changes)  # type: ignore[arg-type]


def test_at_a_date_each_request_keeps_its_hour() -> None:
    """By the list in force then, whose peak hours are asked at the request's own instant."""
    asked = tariff_for("deepseek-v4-pro").in_force(at("2026-09-15T00:00"))
    for instant in ("2026-11-02T02:00", "2026-11-02T13:00", "2026-11-01T02:00"):
        one = request(instant)
        (line,) = repriced([one], OtherPrices("2026-09-15"))
        amounts, _ = dataclasses.replace(asked, earlier=()).at(one.arrived_ns)
        assert line.other_pico == 60 * amounts.hit + 40 * amounts.miss + 10 * amounts.output
        assert (line.frozen_pico, line.requests) == (one.list_pico, 1)


def test_by_a_file_and_what_it_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('"deepseek-v4-pro" = "1,2,3"\n')
    named, other, without = (
        request("2026-11-02T02:00"),
        request("2026-11-02T03:00", "9,9,9"),
        request("2026-11-02T04:00", ""),
    )
    prices = OtherPrices(str(path))
    lines = repriced([named, other, dataclasses.replace(without, currency="", list_pico=0)], prices)
    assert [(line.price_list, line.at) for line in lines] == [
        ("", ""), ("9,9,9", ""), ("deepseek-v4-pro (2026-08-22)", "1,2,3"),
    ]  # fmt: skip
    assert lines[-1].other_pico == (60 * 1 + 40 * 2 + 10 * 3) * 10**6
    said = json.loads(json.dumps(repriced_json(lines, prices)))["lines"]
    assert (said[-1]["charged"], said[-1]["repriced"]) == ("0.000042", "0.00017")
    assert (said[0]["charged"], said[1]["repriced"]) == (None, None)
    text = printed(repriced_table(lines, prices, kept=5))
    assert "+304.8%" in text
    assert "2 requests of before the ledger kept each by itself" in text


def test_a_month_alone() -> None:
    requests = [
        request("2026-10-31T23:59"),
        request("2026-11-01T00:00"),
        request("2026-11-30T23:59"),
        request("2026-12-01T00:00"),
    ]
    (line,) = repriced(requests, OtherPrices("2026-11-01"), "2026-11")
    assert line.requests == 2


def test_a_month_that_is_over_never_changes(book: Book, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is asked, and whatever the catalogue says of that model later."""
    add(
        book,
        *(dataclasses.replace(request("2026-11-02T02:00"), arrived_ns=ONE.arrived_ns + n * HOUR) for n in range(3)),
    )
    before = list(book.requests()), bill_of(book).as_json()
    repriced(book.requests(), OtherPrices("2026-09-15"))
    monkeypatch.setattr("centime.ledger.billing.reprice.tariff_for", lambda _: tariff_for("7,7,7"))
    (line,) = repriced(book.requests(), OtherPrices("2026-09-15"))
    assert line.frozen_pico == 3 * ONE.list_pico
    assert line.other_pico == 3 * 110 * 7 * 10**6
    assert (list(book.requests()), bill_of(book).as_json()) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "neither a date"),
        ("2026-13-01", "neither a date"),
        ("a = 3", "give a price list or amounts as text"),
        ("a = '1,2'", "2 amounts"),
        ("a =", "is not TOML"),
    ],
)
def test_prices_that_are_none(text: str, said: str, tmp_path: Path) -> None:
    if "=" in text:
        path = tmp_path / "prices.toml"
        path.write_text(text)
        text = str(path)
    with pytest.raises(UserError, match=said):
        OtherPrices(text)
