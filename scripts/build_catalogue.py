"""Build the catalogue's chips.csv and prices.csv from research tables.

    python scripts/build_catalogue.py FOLDER

FOLDER holds hardware.csv and prices.csv as the research tables are laid out: one row a chip or a price, with
`source`, `confidence` and, for chips, `memory_fields`, the columns that somebody recalled rather than read. What is
recalled is not shipped: such a cell is left empty, so that nothing downstream can quote it.

Only the columns that the product reads are kept. Rows marked uncertain are dropped; owners' cost models (`gpu_tco`),
past prices and API list prices are not what a device-hour costs now, and stay out.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

CATALOGUE = Path(__file__).parents[1] / "src" / "centime" / "catalogue"

CHIP_COLUMNS = {  # column shipped: column of the research table
    "bf16_tflops": "bf16_tflops_dense",
    "fp8_tflops": "fp8_tflops_dense",
    "fp4_tflops": "fp4_tflops_dense",
    "memory_gb": "mem_gb",
    "memory_tb_s": "mem_bw_tbs",
    "tdp_watts": "tdp_w",
    "measured_max_bf16_tflops": "measured_max_bf16_tflops",
}

# How a driver names the chip: every word of an alternative has to be a word of the driver's name.
# Alternatives are separated by '|'; the first chip that matches, in this order, is the one.
DRIVER_NAMES = {
    "GB300 NVL72": "GB300",
    "GB200 NVL72": "GB200",
    "GH200 96GB": "GH200",
    "H100 NVL 94GB": "H100 NVL",
    "H100 PCIe 80GB": "H100 PCIE",
    "H100 SXM 80GB": "H100",
    "H800 SXM 80GB": "H800",
    "H200 SXM 141GB": "H200",
    "H20 96GB": "H20",
    "B200 SXM 180GB": "B200",
    "B300 SXM 288GB": "B300",
    "A100 SXM 40GB": "A100 SXM4 40GB|A100 SXM 40GB",
    "A100 SXM 80GB": "A100 SXM4 80GB|A100 SXM 80GB",
    "A800 SXM 80GB": "A800 SXM4 80GB",
    "V100 SXM2 32GB": "V100 SXM2 32GB",
    "T4": "T4",
    "L40S": "L40S",
    "L20": "L20",
    "L4": "L4",
    "RTX 3090": "RTX 3090",
    "RTX 4090": "RTX 4090",
    "RTX 5090": "RTX 5090",
    "MI250 (OAM)": "MI250|MI250X",
    "MI300X": "MI300X",
    "MI325X": "MI325X",
    "MI355X": "MI355X",
}

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


def chips(table: Path) -> list[dict[str, str]]:
    """Rows of chips.csv, in the order in which driver names are tried, then the chips no driver names."""
    rows = []
    for row in csv.DictReader(table.open(encoding="utf-8", newline="")):
        recalled = "all but" in row["memory_fields"] and set(CHIP_COLUMNS.values())
        recalled = recalled or {word for word in re.split(r"[\s,;()]+", row["memory_fields"]) if word}
        # "fp8" alone stands for the FP8 column
        recalled |= {"fp8_tflops_dense"} if "fp8" in recalled else set()
        out = {"name": row["name"], "vendor": row["vendor"], "launched": row["launch_date"]}
        out |= {ours: "" if theirs in recalled else row[theirs] for ours, theirs in CHIP_COLUMNS.items()}
        out |= {
            "driver_names": DRIVER_NAMES.get(row["name"], ""),
            "confidence": row["confidence"],
            "source": row["source"],
        }
        rows.append(out)
    order = list(DRIVER_NAMES)
    return sorted(rows, key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))


def iso_date(text: str) -> str:
    """The date in front of the research table's text: 2026-03-16, 2026-02 or 2026. An undated range keeps its start."""
    match = re.search(r"20\d\d(-(0[1-9]|1[0-2])(?!\d)(-\d\d)?)?", text)
    if not match:
        raise SystemExit(f"no date in {text!r}")
    return match[0]


def prices(table: Path) -> list[dict[str, str]]:
    """Rows of prices.csv: rentals on demand, medians over providers, and one dated CPU instance."""
    rows = []
    for row in csv.DictReader(table.open(encoding="utf-8", newline="")):
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
        price, vcpus = row["usd_per_gpu_hour"], ""
        device = PRICE_ITEMS.get(row["item"], row["item"])
        if kind == "cpu":
            vcpus = re.match(r"(\d+) vCPU", row["item"])[1]  # type: ignore[index]
            device = row["item"]
        rows.append(
            {
                "id": row["id"],
                "kind": kind,
                "device": device,
                "vcpus": vcpus,
                "provider": row["provider"],
                "date": date,
                "per_hour": price,
                "currency": "USD",
                "terms": row["terms"],
                "confidence": row["confidence"],
                "source": row["source"],
            }
        )
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path.name}: {len(rows)} rows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write(CATALOGUE / "chips.csv", chips(folder / "hardware.csv"))
    write(CATALOGUE / "prices.csv", prices(folder / "prices.csv"))
