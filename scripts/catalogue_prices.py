"""The catalogue's tables of prices from the research table: of an hour now, of an hour before, of a model's tokens."""

from __future__ import annotations

import csv
import re
from pathlib import Path

SOURCES = Path(__file__).parent / "catalogue_sources"  # what is kept by hand

# What the owners' cost model calls the chips.
TCO_ITEMS = {"H100": "H100 SXM 80GB", "GB200": "GB200 NVL72", "GB300": "GB300 NVL72"}

# The item of a price row -> the chip it prices. An item that is not here is kept under its own name.
PRICE_ITEMS = {
    "H100 SXM": "H100 SXM 80GB",
    "H100 80GB": "H100 SXM 80GB",
    "H100 (80 GB SXM5)": "H100 SXM 80GB",
    "H100 PCIe": "H100 PCIe 80GB",
    "H100 (80 GB PCIe)": "H100 PCIe 80GB",
    "H100 NVL": "H100 NVL 94GB",
    "H200": "H200 SXM 141GB",
    "H200 SXM": "H200 SXM 141GB",
    "GH200 (96 GB)": "GH200 96GB",
    "B200": "B200 SXM 180GB",
    "B200 SXM": "B200 SXM 180GB",
    "B200 (180 GB SXM6)": "B200 SXM 180GB",
    "B300": "B300 SXM 288GB",
    "A100 SXM": "A100 SXM 80GB",
    "A100 (80 GB SXM4)": "A100 SXM 80GB",
    "A100 (40 GB SXM4)": "A100 SXM 40GB",
    "A100 SXM 40GB": "A100 SXM 40GB",
    "A100 80GB PCIe": "A100 PCIe 80GB",
    "V100 SXM2 32GB": "V100 SXM2 32GB",
}


def iso_date(text: str) -> str:
    """The date in front of the research table's text: 2026-03-16, 2026-02 or 2026. An undated range keeps its start."""
    match = re.search(r"20\d\d(-(0[1-9]|1[0-2])(?!\d)(-\d\d)?)?", text)
    if not match:
        raise SystemExit(f"no date in {text!r}")
    return match[0]


def hour(row: dict[str, str], date: str, **what: str) -> dict[str, str]:
    """A price of an hour as the catalogue has it. what: the columns between its id and its provider."""
    return {
        "id": row["id"],
        **what,
        "provider": row["provider"],
        "date": date,
        "per_hour": row["usd_per_gpu_hour"],
        "currency": "USD",
        "terms": row["terms"],
        "confidence": row["confidence"],
        "source": row["source"],
    }


def prices(table: Path) -> list[dict[str, str]]:
    """Rows of prices.csv: rentals on demand, medians over providers, and one dated CPU instance."""
    rows = []
    for row in read(table):
        if row["confidence"] == "uncertain" or row["kind"] in {"api_price", "gpu_tco"}:
            continue
        if row["kind"] == "gpu_rental_index" or "cohort median on-demand" in row["terms"]:
            kind = "median"  # over providers
        elif row["kind"] == "gpu_rental_history":
            continue
        else:
            kind = {"gpu_rental": "rental", "cpu_instance": "cpu"}[row["kind"]]
        # a median's source may name the day where the row has only the month
        day = re.search(r"\(20\d\d-\d\d-\d\d\)", row["source"]) if kind == "median" else None
        date = iso_date(day[0] if day else row["date"])
        vcpus, device = "", PRICE_ITEMS.get(row["item"], row["item"])
        if kind == "cpu":
            vcpus = re.match(r"(\d+) vCPU", row["item"])[1]  # type: ignore[index]
            device = row["item"]
        rows.append(hour(row, date, kind=kind, device=device, vcpus=vcpus))
    return rows


def price_history(table: Path) -> list[dict[str, str]]:
    """Rows of price_history.csv: what an hour cost before, and what owning a chip costs an hour (kind 'tco ...')
    or whose price stands for it ('as')."""
    rows = []
    for row in read(table):
        if row["kind"] == "gpu_rental_history" and "cohort median" not in row["terms"]:
            kind = "history"
        elif row["kind"] == "gpu_tco":
            owners = {"hyperscaler owned TCO": "tco hyperscaler", "neocloud owned TCO": "tco neocloud"}
            kind = owners.get(row["terms"], "3 years")
        else:
            continue
        device = PRICE_ITEMS.get(row["item"]) or TCO_ITEMS.get(row["item"], row["item"])
        rows.append(hour(row, iso_date(row["date"]), kind=kind, device=device))
    return rows + read(SOURCES / "price_history.csv")


def api_prices(table: Path) -> list[dict[str, str]]:
    """Rows of api_prices.csv: list prices of model APIs per million tokens, then DeepSeek's own price lists."""
    rows = [
        {
            "id": row["id"],
            "model": row["item"],
            "provider": row["provider"],
            "date": row["date"],
            "effective": "",
            "hit": row["cached_input_usd_per_m"],
            "miss": row["input_usd_per_m"],
            "output": row["output_usd_per_m"],
            "currency": "USD",
            "terms": row["terms"],
            "confidence": row["confidence"],
            "source": row["source"],
        }
        for row in read(table)
        if row["kind"] == "api_price" and row["confidence"] != "uncertain"
    ]
    return rows + read(SOURCES / "api_prices.csv")


def read(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
