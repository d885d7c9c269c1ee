"""Build the catalogue's tables from research tables.

    python scripts/build_catalogue.py FOLDER [--configs FOLDER]

FOLDER holds hardware.csv, prices.csv and market.csv as the research tables are laid out: one row a chip, a price or a
figure, with `source`, `confidence` and, for chips, `memory_fields`, the columns that somebody recalled rather than
read. What is recalled is left empty in chips.csv, so that nothing can quote it, and goes to chip_assumptions.csv, which
the planner may fill in and then says so. --configs holds Hugging Face config.json files as OWNER--MODEL_config.json
(aiconfigurator's model_configs); with it, models.csv is built too, from them and scripts/catalogue_sources.

Only the columns that the product reads are kept. Rows marked uncertain are dropped; owners' cost models (`gpu_tco`),
past prices and API list prices are not what a device-hour costs now, and stay out.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

CATALOGUE = Path(__file__).parents[1] / "src" / "centime" / "catalogue"
SOURCES = Path(__file__).parent / "catalogue_sources"  # what is kept by hand

CHIP_COLUMNS = {  # column shipped: column of the research table
    "bf16_tflops": "bf16_tflops_dense",
    "fp8_tflops": "fp8_tflops_dense",
    "fp4_tflops": "fp4_tflops_dense",
    "memory_gb": "mem_gb",
    "memory_tb_s": "mem_bw_tbs",
    "tdp_watts": "tdp_w",
    "measured_max_bf16_tflops": "measured_max_bf16_tflops",
    "scaleup_tech": "scaleup_tech",
    "scaleup_gb_s": "scaleup_gbs_unidir_per_chip",
    "scaleup_domain": "scaleup_domain_chips",
    "scaleout_gb_s": "scaleout_gbps_per_chip",  # Gbit/s there, GB/s here
    "power_kw_all_in": "power_kw_all_in",
    "tpp": "tpp_computed",
    "purchase_usd": "purchase_usd",
    "purchase_note": "purchase_note",
    "rent_low_usd_h": "rental_usd_h_low",
    "rent_high_usd_h": "rental_usd_h_high",
    "rent_note": "rental_note",
    "tco_hyperscaler_usd_h": "tco_usd_h_hyperscaler",
    "tco_neocloud_usd_h": "tco_usd_h_neocloud",
    "rent_3yr_usd_h": "rent_3yr_usd_h",
    "export_status": "china_export_status",
    "export_rule": "china_export_rule_and_date",
}

# A word of `memory_fields` that is no column stands for these.
RECALLED_WORDS = {
    "fp8": ["fp8_tflops_dense"],
    "scaleup": ["scaleup_gbs_unidir_per_chip", "scaleup_domain_chips"],
    "scaleup_gbs": ["scaleup_gbs_unidir_per_chip"],
    "scaleup_domain": ["scaleup_domain_chips"],
    "scaleout": ["scaleout_gbps_per_chip"],
    "rental": ["rental_usd_h_low", "rental_usd_h_high", "rental_note"],
}

# How a driver names the chip: every word of an alternative has to be a word of the driver's name.
# Alternatives are separated by '|'; the first chip that matches, in this order, is the one.
DRIVER_NAMES = {
    "GB300 NVL72": "GB300",
    "GB200 NVL72": "GB200",
    "GH200 96GB": "GH200",
    "H100 NVL 94GB": "H100 NVL",
    "H100 PCIe 80GB": "H100 PCIE",
    "H100 SXM 96GB 500W": "H100 96GB HBM2E",
    "H100 SXM 80GB": "H100",
    "H800 SXM 80GB": "H800",
    "H200 NVL 141GB": "H200 NVL",
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

# Names that people, benchmarks and clouds write, beyond those that all words of a chip's own name make.
ALIASES = {
    "V100 SXM2 32GB": "V100|V100 (DGXS 32GB)",
    "A100 SXM 40GB": "A100 40GB",
    "A100 SXM 80GB": "A100|A100 80GB|Nvidia A100 GPU|A100 SXM|A100 SXM 80GB (Selene)"
    "|A100 SXM 80GB (Selene; llm-analysis README says 40GB)",
    "A800 SXM 80GB": "A800",
    "H100 SXM 80GB": "H100|H100 SXM|H100 SXM 80GB (DGX)|H100 SXM 80GB (3.2 Tb/s IB)|Nvidia H100 GPU"
    "|NVIDIA H100-SXM-80GB",
    "H100 PCIe 80GB": "H100 PCIe",
    "H100 NVL 94GB": "H100 NVL",
    "H800 SXM 80GB": "H800|H800 SXM",
    "H20 96GB": "H20",
    "H200 SXM 141GB": "H200|H200 SXM|NVIDIA H200-SXM-141GB|Virtualized NVIDIA H200-SXM-141GB",
    "GH200 96GB": "GH200|Nvidia GH200 GPU",
    "B200 SXM 180GB": "B200|B200 SXM|NVIDIA B200-SXM-180GB",
    "B300 SXM 288GB": "B300|B300 SXM",
    "GB200 NVL72": "GB200|NVIDIA GB200",
    "GB300 NVL72": "GB300|NVIDIA GB300",
    "MI250 (OAM)": "MI250|MI250X|AMD MI250 GPU",
    "MI300X": "AMD MI300X GPU|AMD Instinct MI300X 192GB HBM3",
    "MI325X": "AMD Instinct MI325X 256GB HBM3e",
    "MI355X": "AMD Instinct MI355X",
    "TPU v6e Trillium": "TPU v6e|Trillium",
    "TPU v7 Ironwood (TPU7x)": "TPU v7|TPU7x|Ironwood",
    "Ascend 910B (910B2/B3 64GB)": "Ascend 910B|910B",
    "Ascend 910C": "910C",
    "Ascend 950DT": "950DT",
    "Rubin (announced)": "Rubin",
    "MI455X (announced)": "MI455X",
}

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


def recalled_columns(row: dict[str, str]) -> set[str]:
    """The research table's columns that somebody recalled rather than read."""
    if "all but" in row["memory_fields"]:
        return set(CHIP_COLUMNS.values()) - {"rental_usd_h_low", "rental_usd_h_high", "rental_note"}
    named = {word for word in re.split(r"[\s,;()]+", row["memory_fields"]) if word}
    return named | {column for word in named for column in RECALLED_WORDS.get(word, [])}


def chip_value(row: dict[str, str], column: str) -> str:
    """A cell of the research table in our unit."""
    value = row[column]
    return f"{float(value) / 8:g}" if value and column == "scaleout_gbps_per_chip" else value


def chips(table: Path) -> list[dict[str, str]]:
    """Rows of chips.csv, in the order in which driver names are tried, then the chips no driver names."""
    rows = []
    for row in [*read(table), *read(SOURCES / "chips.csv")]:
        recalled = recalled_columns(row)
        out = {"name": row["name"], "aliases": row.get("aliases") or ALIASES.get(row["name"], "")}
        out |= {"vendor": row["vendor"], "generation": row["generation"], "launched": row["launch_date"]}
        out |= {ours: "" if col in recalled else chip_value(row, col) for ours, col in CHIP_COLUMNS.items()}
        out |= {
            "driver_names": row.get("driver_names") or DRIVER_NAMES.get(row["name"], ""),
            "confidence": row["confidence"],
            "notes": row["notes"],
            "source": row["source"],
        }
        rows.append(out)
    order = list(DRIVER_NAMES)
    return sorted(rows, key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))


def chip_assumptions(table: Path) -> list[dict[str, str]]:
    """Rows of chip_assumptions.csv: the figures that were recalled, then those assumed by hand."""
    rows = []
    for row in [*read(table), *read(SOURCES / "chips.csv")]:
        for ours, column in CHIP_COLUMNS.items():
            value = chip_value(row, column)
            if column in recalled_columns(row) and re.fullmatch(r"[\d.]+", value):
                rows.append({"chip": row["name"], "field": ours, "value": value, "why": "recalled, no source read"})
    return rows + read(SOURCES / "chip_assumptions.csv")


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
        rows.append(
            {
                "id": row["id"],
                "kind": kind,
                "device": device,
                "provider": row["provider"],
                "date": iso_date(row["date"]),
                "per_hour": row["usd_per_gpu_hour"],
                "currency": "USD",
                "terms": row["terms"],
                "confidence": row["confidence"],
                "source": row["source"],
            }
        )
    return rows + read(SOURCES / "price_history.csv")


def api_prices(table: Path) -> list[dict[str, str]]:
    """Rows of api_prices.csv: list prices of model APIs per million tokens, then DeepSeek's own price lists."""
    rows = [
        {
            "id": row["id"],
            "model": row["item"],
            "provider": row["provider"],
            "date": row["date"],
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


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path.name}: {len(rows)} rows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configs", type=Path)
    given = parser.parse_args()
    write(CATALOGUE / "chips.csv", chips(given.folder / "hardware.csv"))
    write(CATALOGUE / "chip_assumptions.csv", chip_assumptions(given.folder / "hardware.csv"))
    write(CATALOGUE / "prices.csv", prices(given.folder / "prices.csv"))
    write(CATALOGUE / "price_history.csv", price_history(given.folder / "prices.csv"))
    write(CATALOGUE / "api_prices.csv", api_prices(given.folder / "prices.csv"))
    write(CATALOGUE / "export_rules.csv", read(SOURCES / "export_rules.csv"))
    write(CATALOGUE / "market.csv", read(given.folder / "market.csv"))
    if given.configs:
        from catalogue_models import build

        from centime.catalogue.models import COLUMNS

        write(CATALOGUE / "models.csv", build(given.configs, SOURCES, CATALOGUE / "models", COLUMNS))
