"""The forms of a FOCUS file: which columns a version of the specification has, and how CSV and Parquet hold them."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.files.output import Output
from centime.installation import needs

VERSIONS = ("1.2", "1.4")
# Mandatory columns of both, and of each: 1.4 (2026-06) has done away with provider and publisher for the two of 1.3.
BOTH = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ServiceCategory",
    "ServiceName",
)  # fmt: skip
MANDATORY = {
    "1.2": tuple(sorted((*BOTH, "ProviderName", "PublisherName"))),
    "1.4": tuple(sorted((*BOTH, "HostProviderName", "ServiceProviderName"))),
}
# Conditional and recommended columns: those we can fill, and those that checkers of FOCUS 1.0 want to see, as nulls.
FILLED = (
    "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory",
    "ResourceId", "ResourceName", "ResourceType", "ServiceSubcategory", "SkuId", "SkuPriceId", "Tags",
)  # fmt: skip
EMPTY = (
    "AvailabilityZone", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "InvoiceId", "RegionId", "RegionName", "SubAccountId",
    "SubAccountName",
)  # fmt: skip
OURS = (
    "x_Devices", "x_EnergyKwh", "x_EnergySource", "x_EstimatedDeviceNanoseconds", "x_Flops",
    "x_MeasuredDeviceNanoseconds", "x_PriceDate", "x_PriceKind", "x_PriceNote", "x_PriceSource", "x_Run", "x_RunPath",
    "x_Stage", "x_Tokens", "x_Verb",
)  # fmt: skip
CARBON = ("x_CarbonGrams", "x_CarbonSource")  # ours too, since later: an older file is told by the others
COLUMNS = {
    version: (*sorted((*mandatory, *FILLED, *EMPTY)), *sorted((*OURS, *CARBON)))
    for version, mandatory in MANDATORY.items()
}
DECIMALS = {
    *("BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost"),
    *("ListUnitPrice", "PricingQuantity", "x_CarbonGrams", "x_EnergyKwh"),
}
MOMENTS = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
WHOLE = {"x_Devices", "x_EstimatedDeviceNanoseconds", "x_MeasuredDeviceNanoseconds", "x_Tokens"}
PARQUET = ".parquet"
_DIGITS, _PLACES = 38, 18  # of a decimal in Parquet: hours have 12 places, costs are hours times a price


def version_named(word: str) -> str:
    """A version that is written. Raises UserError for another."""
    if word not in VERSIONS:
        raise UserError(f"--focus-version {word!r} is not written; give {' or '.join(VERSIONS)}.")
    return word


def focus_file(path: Path, inputs: Sequence[Path] = ()) -> Output:
    """Where charges go: over nothing but another FOCUS file of centime's, and none that is read.

    Raises UserError for a .parquet where pyarrow is missing.
    """
    if path.suffix == PARQUET:
        _pyarrow()
    return Output(path, "a FOCUS file", "name another --focus file", _is_ours, inputs)


def write_rows(rows: Iterable[dict[str, str]], version: str, to: Output) -> None:
    """The file, whole or not at all: Parquet where its name ends so, else CSV. rows: '' is null."""
    with to.written() as partial:
        if to.path.suffix == PARQUET:
            _write_parquet(list(rows), COLUMNS[version], partial)
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=COLUMNS[version], lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _write_parquet(rows: Sequence[dict[str, str]], columns: Sequence[str], path: Path) -> None:
    arrow, parquet = _pyarrow()
    types = {
        **dict.fromkeys(DECIMALS, arrow.decimal128(_DIGITS, _PLACES)),
        **dict.fromkeys(MOMENTS, arrow.timestamp("ms", tz="UTC")),
        **dict.fromkeys(WHOLE, arrow.int64()),
        "x_Flops": arrow.float64(),
    }
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in columns])
    values = {name: [_typed(name, row[name]) for row in rows] for name in columns}
    parquet.write_table(arrow.table(values, schema=schema), path)


def _typed(name: str, text: str) -> Any:
    if text == "":
        return None
    if name in DECIMALS:
        return Decimal(text).quantize(Decimal(1).scaleb(-_PLACES), context=Context(prec=_DIGITS))
    if name in MOMENTS:
        return datetime.datetime.fromisoformat(text)
    if name in WHOLE:
        return int(text)
    return float(text) if name == "x_Flops" else text


def _is_ours(path: Path) -> bool:
    """Whether a file has the columns that only centime's have."""
    if path.suffix == PARQUET:
        return {*OURS, "BilledCost"} <= set(_pyarrow()[1].read_schema(path).names)
    with path.open(encoding="utf-8", newline="") as file:
        return {*OURS, "BilledCost"} <= set(next(csv.reader(file), []))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise needs("data", f"--focus FILE{PARQUET}", "pyarrow") from None
    return pyarrow, pyarrow.parquet
