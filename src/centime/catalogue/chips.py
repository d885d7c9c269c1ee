"""Accelerators and processors: peaks, memory, power, each with its source; found by the name that a driver reports."""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Chip:
    """One row of chips.csv. A figure is None where the catalogue has no source for it."""

    name: str
    vendor: str
    launched: str
    bf16_tflops: float | None  # dense peak, 1e12 FLOP/s
    fp8_tflops: float | None
    fp4_tflops: float | None
    memory_gb: float | None  # 1e9 bytes
    memory_tb_s: float | None  # 1e12 bytes/s
    tdp_watts: float | None
    measured_max_bf16_tflops: float | None  # the best GEMM that somebody measured
    driver_names: str
    confidence: str  # primary: from the maker or the author; secondary: reported by others; memory: only its name
    source: str


@dataclass(frozen=True)
class CpuPower:
    """Watts of a server processor per vCPU at full load, one row of cpu_power.csv."""

    architecture: str
    words: str
    watts_per_vcpu: float
    date: str
    source: str


def words(name: str) -> frozenset[str]:
    """The words of a device's name: 'NVIDIA H100 80GB HBM3' -> {'NVIDIA', 'H100', '80GB', 'HBM3'}, upper case."""
    return frozenset(word for word in re.split(r"[^A-Za-z0-9.]+", name.upper()) if word)


def names_match(pattern: str, device_name: str) -> bool:
    """Whether any of the alternatives in `pattern` ('A B|C') has all its words in the device's name."""
    have = words(device_name)
    return any(words(alternative) <= have for alternative in pattern.split("|") if words(alternative))


@functools.cache
def chips() -> tuple[Chip, ...]:
    """Every chip of the catalogue, in the order in which driver names are tried."""
    texts = {"name", "vendor", "launched", "driver_names", "confidence", "source"}
    with (HERE / "chips.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Chip(**{key: value if key in texts else (float(value) if value else None) for key, value in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        )


def chip_for(device_name: str) -> Chip | None:
    """The chip that a driver calls `device_name` ('NVIDIA H100 80GB HBM3'), or None when the catalogue has none."""
    for chip in chips():
        if chip.name == device_name or (chip.driver_names and names_match(chip.driver_names, device_name)):
            return chip
    return None


@functools.cache
def _cpu_powers() -> tuple[CpuPower, ...]:
    with (HERE / "cpu_power.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            CpuPower(**{**row, "watts_per_vcpu": float(row["watts_per_vcpu"])})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        )


def cpu_power_for(device_name: str) -> CpuPower:
    """Watts per vCPU for a processor's name. A name that says no generation takes its vendor's newest known row,
    any other processor the last row: this is an estimate, and whoever shows it says as which architecture."""
    rows = _cpu_powers()
    return next((row for row in rows if row.words and names_match(row.words, device_name)), rows[-1])
