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

from catalogue_prices import SOURCES, api_prices, price_history, prices, read

CATALOGUE = Path(__file__).parents[1] / "src" / "centime" / "catalogue"

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
    "H20-3e 141GB": "H20 3E",
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
