"""Accelerators and processors: peaks, memory, links, power, each with its source; found by any name they go by."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from centime.catalogue.home import centime_home
from centime.catalogue.refreshed import refreshed_rows
from centime.csv_files import BEYOND, read_rows
from centime.errors import UserError, nearest, nearest_name
from centime.messages import said

HERE = Path(__file__).parent

# The peak that a precision computes at. MXFP8 and DeepSeek's blocks are FP8 products; NVFP4 and MXFP4 are FP4's.
_PEAK_OF = {
    "bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "fp8-cs": "fp8", "fp8-sc": "fp8", "fp8-block": "fp8",
    "fp8_block": "fp8", "mxfp8": "fp8", "int8": "fp8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4",
}  # fmt: skip
# Words that make another card of a name: an RTX 4080 SUPER is no RTX 4080.
_APART = frozenset({"TI", "SUPER", "D", "3E", "LAPTOP", "MOBILE"})
_NARROWER = {"fp4": "fp8", "fp8": "bf16"}  # a chip without a precision computes it at the next wider one


@dataclass(frozen=True)
class Chip:
    """One row of chips.csv. A figure is None where the catalogue has no source for it and nobody assumed one.

    Rates are dense and per chip, bandwidths in one direction.
    """

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
    aliases: str = ""
    generation: str = ""
    scaleup_tech: str = ""
    scaleup_gb_s: float | None = None  # NVLink and its like, GB/s per chip in one direction
    scaleup_domain: float | None = None  # chips that it joins
    scaleout_gb_s: float | None = None  # the network between domains, GB/s per chip in one direction
    power_kw_all_in: float | None = None  # per chip with its share of server, network and cooling
    tpp: float | None = None  # US total processing performance: TFLOPS x bits, dense
    purchase_usd: float | None = None
    purchase_note: str = ""
    rent_low_usd_h: float | None = None
    rent_high_usd_h: float | None = None
    rent_note: str = ""
    tco_hyperscaler_usd_h: float | None = None  # owner's cost per hour
    tco_neocloud_usd_h: float | None = None
    rent_3yr_usd_h: float | None = None
    export_status: str = ""  # into China, in words; `export_rules` says it by date
    export_rule: str = ""
    notes: str = ""
    assumptions: tuple[str, ...] = ()  # what was filled in without a source, a sentence each

    def peak(self, precision: str = "bf16") -> float:
        """Dense peak in FLOP/s at 'bf16', 'fp8' (and its block formats) or 'fp4'; a precision that the chip lacks
        computes at the next wider one. Raises UserError on a precision that is none, or a chip without any peak."""
        wanted = _PEAK_OF.get(precision.lower().split()[0] if precision.strip() else "")
        if wanted is None:
            raise UserError(
                f"There is no precision {precision!r}.{nearest(precision.lower(), _PEAK_OF)} "
                f"Known: {', '.join(_PEAK_OF)}."
            )
        while True:
            found = {"bf16": self.bf16_tflops, "fp8": self.fp8_tflops, "fp4": self.fp4_tflops}[wanted]
            if found is not None:
                return found * 1e12
            if wanted not in _NARROWER:
                raise UserError(f"The catalogue has no peak for {self.name}; state one in {overlay_path()}.")
            wanted = _NARROWER[wanted]


# column -> (least, most, unit, an example): a slip of units leaves these
_PEAK = (0.01, 1e6, "dense TFLOPS", "an H100 has 989 in bf16")
_BOUNDS = {
    **dict.fromkeys(("bf16_tflops", "fp8_tflops", "fp4_tflops"), _PEAK),
    "memory_gb": (0.5, 1e5, "GB", "an H100 has 80"),
    "memory_tb_s": (0.005, 500.0, "TB/s", "an H100 has 3.35"),
    "tdp_watts": (1.0, 1e5, "W", "an H100 has 700"),
    "scaleup_gb_s": (0.05, 1e5, "GB/s in one direction", "an H100 has 450"),
    "scaleup_domain": (1.0, 1e6, "chips", "an H100 has 8"),
    "scaleout_gb_s": (0.005, 1e4, "GB/s in one direction", "an H100 has 50"),
    "power_kw_all_in": (0.001, 100.0, "kW", "an H100 has 1.73"),
    "tpp": (1.0, 1e7, "TFLOPS x bits", "an H100 has 15,832"),
}
_TEXTS = {field.name for field in fields(Chip) if field.type == "str"}


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
    """Whether any of the alternatives in `pattern` ('A B|C') has all its words in the device's name.

    A word of the name that makes another card of it must be one of the alternative's.
    """
    have = words(device_name)
    wanted = [words(alternative) for alternative in pattern.split("|")]
    return any(alternative and alternative <= have and not (have - alternative) & _APART for alternative in wanted)


@functools.cache
def chips() -> tuple[Chip, ...]:
    """Every chip of the catalogue as its sources have it, in the order in which driver names are tried."""
    return _read_table(HERE / "chips.csv", "chips.csv")


def _read_table(path: Path, where: str) -> tuple[Chip, ...]:
    """The chips of a table. Raises UserError naming row and column, what was found and what was expected."""
    found = tuple(_chip(row, where) for row in read_rows(path))
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: {twice!r} has two rows; keep one of them.")
    return found


def _chip(row: Mapping[str, Any], where: str) -> Chip:
    known = {field.name for field in fields(Chip)} - {"assumptions"}
    name = (row.get("name") or "").strip()
    values: dict[str, str | float | None] = {}
    for key, text in row.items():
        if key == BEYOND:
            raise UserError(f"{where}: the row of {name!r} has more fields than the heading; quote one with a comma.")
        if key not in known:
            meant = " Columns are between commas." if ";" in key or "\t" in key else nearest(key, known)
            raise UserError(f"{where}: unknown column {key!r}.{meant} Known: {', '.join(known)}.")
        values[key] = (text or "").strip() if key in _TEXTS else _figure(key, (text or "").strip(), name, where)
    if not name:
        raise UserError(f"{where}: a chip has no name.")
    for field in known - values.keys():
        values[field] = "" if field in _TEXTS else None
    chip = Chip(**values)  # type: ignore[arg-type]
    for narrow, wide in (("fp4_tflops", "fp8_tflops"), ("fp8_tflops", "bf16_tflops")):
        low, high = getattr(chip, wide), getattr(chip, narrow)
        if low is not None and high is not None and high < low:
            raise UserError(f"{where}: {narrow} of {name!r} is {high:g}; expected at least {wide}, {low:g}.")
    return chip


def _figure(key: str, text: str, name: str, where: str) -> float | None:
    if not text:
        return None
    least, most, unit, example = _BOUNDS.get(key, (0.0, 1e9, "", ""))
    expected = f"expected {least:g} to {most:g}{f' {unit}' if unit else ''}{f' ({example})' if example else ''}"
    try:
        number = float(text)
    except ValueError:
        raise UserError(f"{where}: {key} of {name!r} is {text!r}; {expected}.") from None
    if not least <= number <= most:
        raise UserError(f"{where}: {key} of {name!r} is {text}; {expected}.")
    return number


def overlay_path() -> Path:
    """The user's own chips: $CENTIME_HOME/chips.csv, with those of chips.csv's columns that are known."""
    return centime_home() / "chips.csv"


def _overlay() -> tuple[Chip, ...]:
    path = overlay_path()
    return _read_overlay(path, path.stat().st_mtime_ns) if path.is_file() else ()


@functools.lru_cache(maxsize=4)
def _read_overlay(path: Path, _changed: int) -> tuple[Chip, ...]:
    return _read_table(path, str(path))


@functools.cache
def _planned() -> dict[str, Chip]:
    """Every chip with its assumed figures filled in, by every spelling of its names."""
    assumed: dict[str, list[tuple[str, float, str]]] = {}
    for row in read_rows(HERE / "chip_assumptions.csv"):
        assumed.setdefault(row["chip"], []).append((row["field"], float(row["value"]), row["why"]))
    return _by_spelling(_filled(chip, assumed.get(chip.name, [])) for chip in chips())


def _filled(chip: Chip, assumed: list[tuple[str, float, str]]) -> Chip:
    missing = [(field, value, why) for field, value, why in assumed if getattr(chip, field) is None]
    notes = tuple(
        said("{chip}: {field} {value:g}, {why}", chip=chip.name, field=field, value=value, why=said(why))
        for field, value, why in missing
    )
    return replace(chip, **{field: value for field, value, _ in missing}, assumptions=notes)  # type: ignore[arg-type]


def _bought(chip: Chip) -> Chip:
    """The chip with its release price, where its own row has no purchase price and one was fetched."""
    if chip.purchase_usd is not None:
        return chip
    for row in refreshed_rows("epoch"):
        if row["device"] == chip.name:
            note = f"release price of {row['date']}, {row['source']}, read {row['read']}"
            return replace(chip, purchase_usd=float(row["purchase_usd"]), purchase_note=note)
    return chip


def _spelling(name: str) -> str:
    """'NVIDIA H200-SXM-141GB' and 'h200_sxm_141gb' are one."""
    return re.sub(r"[^a-z0-9.]", "", name.lower().removeprefix("nvidia").removeprefix("amd"))


def _by_spelling(table: Iterable[Chip]) -> dict[str, Chip]:
    found: dict[str, Chip] = {}
    for chip in table:
        for name in [chip.name, *chip.aliases.split("|")]:
            if name:
                found.setdefault(_spelling(name), chip)
    return found


def chip(name: str) -> Chip:
    """The chip called `name` ('h800', 'H100 SXM 80GB (DGX)', 'b200_sxm'), the user's own first, gaps filled by stated
    assumptions. Raises UserError with the nearest names where there is none."""
    for table in (_by_spelling(_overlay()), _planned()):
        if _spelling(name) in table:
            return _bought(table[_spelling(name)])
    by_driver = chip_for(name)
    if by_driver is not None:
        return _bought(_planned()[_spelling(by_driver.name)])
    known = dict.fromkeys(re.sub(r" \(.*|,? \d+ ?GB.*", "", each) for each in chip_names())
    raise UserError(
        f"There is no chip called {name!r}.{_meant(name)} Known: {', '.join(known)}; or add it to {overlay_path()}."
    )


def _meant(name: str) -> str:
    """' Did you mean X?' with the chip that a person may have meant: one whose name holds what was written, else one
    of the same letters, spelt nearly so; '' where there is none."""
    aliases = [alias for found in (*_overlay(), *chips()) for alias in found.aliases.split("|") if alias]
    choices = [*aliases, *chip_names()]
    first = _letters(name)
    kin = [choice for choice in choices if not first or _letters(choice) == first]
    return nearest_name(name, choices, _spelling, kin)


def _letters(name: str) -> str:
    """What a chip's name begins with: 'mi' of MI300X, nothing of 910C."""
    return "".join(itertools.takewhile(str.isalpha, name.lower().removeprefix("nvidia").removeprefix("amd").strip()))


def chip_names() -> list[str]:
    """Every chip of the user's table and the catalogue."""
    return list(dict.fromkeys(found.name for found in (*_overlay(), *chips())))


def chip_for(device_name: str) -> Chip | None:
    """The chip that a driver calls `device_name` ('NVIDIA H100 80GB HBM3'), or None when the catalogue has none.

    Its figures are the sourced ones alone: what meters a machine does not assume.
    """
    for chip in chips():
        if chip.name == device_name or (chip.driver_names and names_match(chip.driver_names, device_name)):
            return chip
    return None


@functools.cache
def _cpu_powers() -> tuple[CpuPower, ...]:
    rows = read_rows(HERE / "cpu_power.csv")
    return tuple(CpuPower(**{**row, "watts_per_vcpu": float(row["watts_per_vcpu"])}) for row in rows)


def cpu_power_for(device_name: str) -> CpuPower:
    """Watts per vCPU for a processor's name. A name that says no generation takes its vendor's newest known row,
    any other processor the last row: this is an estimate, and whoever shows it says as which architecture."""
    rows = _cpu_powers()
    return next((row for row in rows if row.words and names_match(row.words, device_name)), rows[-1])
