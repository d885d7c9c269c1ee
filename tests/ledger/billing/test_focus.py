"""The FOCUS 1.2 file: its mandatory columns, formats that the specification asks for, sums that are the book's."""

from __future__ import annotations

import csv
import datetime
import json
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.made import at, made

from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing.focus import write_focus
from centime.ledger.billing.focus_forms import COLUMNS, MANDATORY
from centime.ledger.interval import Interval

# Feature level "Mandatory" in the FOCUS specification, version 1.2.
FOCUS_1_2_MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
FOCUS_1_4_MANDATORY = (FOCUS_1_2_MANDATORY - {"ProviderName", "PublisherName"}) | {
    "HostProviderName", "ServiceProviderName",
}  # fmt: skip
FOCUS_1_2_OTHERS = {
    "AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus",
    "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit",
    "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory",
    "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
}  # fmt: skip
NOT_NULL = FOCUS_1_2_MANDATORY - {"ChargeClass"}
DECIMALS = [
    "BilledCost",
    "ContractedCost",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingQuantity",
    "ConsumedQuantity",
]


def exported(intervals: list[Interval], run: str | None = None) -> tuple[list[dict[str, str]], int]:
    """The file of a book with these intervals, and how many it left out."""
    with tempfile.TemporaryDirectory() as folder, Book(Path(folder) / "ledger.sqlite") as book:
        book.write(intervals)
        written, left_out = write_focus(book, Path(folder) / "out.csv", run)
        assert {path.name for path in Path(folder).iterdir()} - {"out.csv"} <= {
            "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
        }  # fmt: skip
        with (Path(folder) / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    assert written == len(rows)
    return rows, left_out


def test_every_column_is_focus_1_2_s_or_marked_as_ours() -> None:
    assert set(MANDATORY["1.2"]) == FOCUS_1_2_MANDATORY
    assert set(MANDATORY["1.4"]) == FOCUS_1_4_MANDATORY
    for version, columns in COLUMNS.items():
        theirs = [name for name in columns if not name.startswith("x_")]
        assert set(theirs) <= set(MANDATORY[version]) | FOCUS_1_2_OTHERS
        assert list(columns) == sorted(theirs) + sorted(set(columns) - set(theirs))  # ours after theirs


@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_parquet_has_what_csv_has_with_types(tmp_path: Path, version: str) -> None:
    intervals = [
        made(hours=1e-9, price_per_hour=1e-7, flops=3e24),
        made(hours=1e6, price_per_hour=12345678.9, wall_start_ns=at("2026-06-30T23:59"), run='a, "b"'),
    ]
    with Book(tmp_path / "ledger.sqlite") as book:
        book.write(intervals)
        for name in ("out.csv", "out.parquet", "out.parquet"):  # over its own file it may write
            write_focus(book, tmp_path / name, version=version)
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(table.column_names) == tuple(rows[0]) == COLUMNS[version]
    assert ("ProviderName" in table.column_names) == (version == "1.2")
    assert set(rows[0]["ServiceProviderName" if version == "1.4" else "ProviderName"]) == set("Self-hosted")
    kinds = {str(table.schema.field(name).type) for name in DECIMALS}
    assert (len(kinds), str(table.schema.field("ChargePeriodEnd").type)) == (1, "timestamp[ms, tz=UTC]")
    for told, row in zip(table.to_pylist(), rows, strict=True):
        for name, text in row.items():
            value = told[name]
            if isinstance(value, Decimal):
                assert value == Decimal(text), name
            elif isinstance(value, datetime.datetime):
                assert value.isoformat() == text.replace("Z", "+00:00")
            else:
                assert ("" if value is None else str(value) if name != "x_Flops" else f"{value:.1f}") == text, name


def test_another_s_parquet_is_not_replaced(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"BilledCost": [1]}), theirs)
    for path in (theirs, tmp_path / "no.parquet"):
        if path != theirs:
            path.write_text("a letter")
        before = path.read_bytes()
        with Book(tmp_path / "ledger.sqlite") as book, pytest.raises(UserError, match="is not a FOCUS file"):
            write_focus(book, path)
        assert path.read_bytes() == before


def test_a_charge() -> None:
    (row,), left_out = exported([made("pretrain", 1.5, devices=8, tokens=77, wall_start_ns=at("2026-06-15T12:00") + 1)])
    assert left_out == 0
    assert all(row[name] for name in NOT_NULL)
    assert row["BilledCost"] == "0.0"  # on no invoice
    assert {row[name] for name in ("EffectiveCost", "ListCost", "ContractedCost")} == {"24.0"}
    assert (row["PricingQuantity"], row["PricingUnit"], row["ListUnitPrice"]) == ("12.0", "Hours", "2.0")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("43200.0", "Seconds")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-06-15T12:00:00Z", "2026-06-15T13:30:01Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z")
    assert (row["ChargeCategory"], row["ChargeClass"], row["BillingCurrency"]) == ("Usage", "", "USD")
    assert json.loads(row["Tags"]) == {"centime/run": "tiny", "centime/stage": "pretrain", "centime/verb": "train"}
    assert (row["x_Tokens"], row["x_Stage"], row["x_PriceKind"]) == ("77", "pretrain", "given")


def test_numbers_are_written_as_the_specification_asks() -> None:
    rows, _ = exported([made(hours=1e-9, price_per_hour=1e-7), made(hours=1e6, price_per_hour=12345678.9, flops=3e24)])
    for row in rows:
        for name in DECIMALS:
            assert re.fullmatch(r"\d+\.\d+", row[name]), (name, row[name])
        assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row["ListCost"])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(at("2025-11-30T00:00"), at("2026-03-02T00:00")),
    st.integers(1, 200 * 86_400 * 10**9),
    st.integers(0, 250_000_000),
    st.integers(0, 10**15),
    st.integers(1, 64),
)
def test_a_long_interval_is_split_by_month_and_adds_up(
    start: int, ns: int, tail: int, tokens: int, devices: int
) -> None:
    interval = made(
        measured_ns=ns,
        estimated_ns=tail,
        wall_start_ns=start,
        tokens=tokens,
        devices=devices,
        flops=1e20,
        energy_uj=12345,
    )
    rows, _ = exported([interval])
    assert sum(int(row["x_MeasuredDeviceNanoseconds"]) for row in rows) == ns * devices
    assert sum(int(row["x_EstimatedDeviceNanoseconds"]) for row in rows) == tail * devices
    assert sum(int(row["x_Tokens"]) for row in rows) == tokens
    assert sum(Decimal(row["ConsumedQuantity"]) for row in rows) * 10**9 == interval.device_ns
    assert float(sum(Decimal(row["x_Flops"]) for row in rows)) == pytest.approx(1e20)
    assert float(sum(Decimal(row["EffectiveCost"]) for row in rows)) == pytest.approx(
        interval.cost, rel=1e-12, abs=1e-10
    )
    for row in rows:
        first, last, begin, end = (
            datetime.datetime.fromisoformat(row[name])
            for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
        )
        assert first <= begin < end <= last
        assert first.day == last.day == 1
    assert len({row["BillingPeriodStart"] for row in rows}) == len(rows)


def test_an_interval_without_a_price_is_no_charge_and_is_counted() -> None:
    rows, left_out = exported([made(), made("context", price_per_hour=None, currency=None)])
    assert ([row["x_Stage"] for row in rows], left_out) == (["pretrain"], 1)


def test_one_run_alone() -> None:
    rows, _ = exported([made(), made("sft", run="other", run_path=None)], "other")
    assert [row["x_Run"] for row in rows] == ["other"]


def test_a_place_that_cannot_be_written_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with Book(tmp_path / "ledger.sqlite") as book, pytest.raises(UserError, match="cannot be written"):
        write_focus(book, tmp_path / "no" / "such" / "out.csv")
