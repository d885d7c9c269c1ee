"""Chips by any name, what is sourced and what is assumed, export rules by date, the market."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.chips import Chip, chip, chip_for, chip_names, chips, overlay_path
from centime.catalogue.export_rules import BUYERS, TABLE, sale_windows, status
from centime.catalogue.market import figure, figures, market
from centime.errors import UserError
from centime.plan.serving.planner import plan_serving
from centime.plan.serving.request import ServingRequest

# What reports hide, or leave out.
UNNAMED = {"high-end device D", "lower-spec devices", ""}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("h800", "H800 SXM 80GB"),
        ("H800 SXM", "H800 SXM 80GB"),
        ("H100 SXM 80GB (DGX)", "H100 SXM 80GB"),
        ("b200_sxm", "B200 SXM 180GB"),
        ("NVIDIA H200-SXM-141GB", "H200 SXM 141GB"),
        ("Nvidia A100 GPU", "A100 SXM 80GB"),
        ("AMD Instinct MI325X 256GB HBM3e", "MI325X"),
        ("H100 SXM 96GB HBM2e 500W (Meta Grand Teton)", "H100 SXM 96GB 500W"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB"),
        ("910c", "Ascend 910C"),
        ("NVIDIA H20-3e", "H20-3e 141GB"),
        ("NVIDIA H20", "H20 96GB"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 4080", "RTX 4080"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada 48GB"),
        ("RTX A6000", "A6000"),
    ],
)
def test_one_chip_has_many_names(name: str, meant: str) -> None:
    assert chip(name).name == meant


def test_chips_of_the_published_runs_are_known(shared: Path) -> None:
    tables = [shared / "data" / "plan" / name for name in ("training_runs.csv", "serving_runs.csv")]
    if not all(table.exists() for table in tables):
        pytest.skip("the shared data has no tables of runs")
    unknown = set()
    for name in {row["gpu"] for table in tables for row in csv.DictReader(table.open(encoding="utf-8", newline=""))}:
        try:
            chip(name)
        except UserError:
            unknown.add(name)
    assert unknown == UNNAMED


def test_an_unknown_chip_gets_the_nearest() -> None:
    for name, meant in (
        *(
            ("H8000", "H800"),
            ("h900", "H"),
            ("mi400x", "MI"),
            ("3090", "RTX 3090"),
            ("mi350", "MI350X"),
            ("v5e", "TPU"),
        ),
        *(("b100", "B"), ("rtx 6000", "RTX 6000 Ada"), ("RTX 3080", "RTX"), ("rubin ultra", "Rubin"), ("a10", "A10G")),
    ):
        with pytest.raises(UserError, match=f"Did you mean '{meant}"):
            chip(name)
    with pytest.raises(UserError, match=r"no chip called 'trainium2'\. Known"):
        chip("trainium2")


@pytest.mark.parametrize("name", ["RTX 4090 D", "NVIDIA GeForce RTX 4090 Laptop GPU", "RTX 3090 Ti", "RTX 4080 Ti"])
def test_another_card_of_a_name_is_not_taken_for_it(name: str) -> None:
    assert chip_for(name) is None
    with pytest.raises(UserError, match="no chip called"):
        chip(name)


def test_h800_is_an_h100_with_less_than_half_of_its_links() -> None:
    full, cut = chip("h100"), chip("h800")
    assert (cut.peak("bf16"), cut.peak("fp8"), cut.memory_tb_s) == (
        full.peak("bf16"),
        full.peak("fp8"),
        full.memory_tb_s,
    )
    assert (full.scaleup_gb_s, cut.scaleup_gb_s) == (450, 200)
    assert (cut.scaleup_domain, cut.scaleout_gb_s) == (8, 50)
    assert (chip("H100 SXM 96GB 500W").tdp_watts, chip("H100 SXM 96GB 500W").memory_tb_s) == (500, 2.4)


def test_what_is_assumed_is_said_and_never_metered() -> None:
    planned, metered = chip("GH200"), chip_for("NVIDIA GH200 480GB")
    assert metered is not None
    assert (metered.tdp_watts, planned.tdp_watts) == (None, 1000)
    assert any("tdp_watts" in note for note in planned.assumptions)
    assert metered.assumptions == ()
    assert chip("H100").assumptions == ()


def test_peaks() -> None:
    assert chip("A100").peak("fp8") == chip("A100").peak("bf16") == 312e12  # no FP8: computed at the next wider
    assert chip("B200").peak("NVFP4") == 9000e12
    with pytest.raises(UserError, match="no precision 'fp7'"):
        chip("H100").peak("fp7")
    for found in chips():
        if found.bf16_tflops and found.fp8_tflops:
            assert found.fp8_tflops >= found.bf16_tflops


# A slip of units, or of a column, leaves these by far; every chip of the last ten years is inside.
PLAUSIBLE = [
    ("fp8_tflops", "bf16_tflops", 1, 5),
    ("fp4_tflops", "fp8_tflops", 1, 4),
    ("measured_max_bf16_tflops", "bf16_tflops", 0.3, 1),
    ("bf16_tflops", "memory_tb_s", 20, 1000),  # FLOPs a byte read
    ("memory_gb", "memory_tb_s", 10, 100),  # milliseconds to read it all
    ("scaleup_gb_s", "memory_tb_s", 10, 500),  # links are 1 to 50 % of the memory's rate
    ("bf16_tflops", "tdp_watts", 0.1, 5),
    ("power_kw_all_in", "tdp_watts", 1e-3, 4e-3),  # with host, network and cooling one to four times the chip's own
    ("tpp", "bf16_tflops", 15.9, 64),  # bits times TFLOPS at the best precision, export rule of 2023-10
    ("rent_high_usd_h", "rent_low_usd_h", 1, 10),
    ("purchase_usd", "rent_low_usd_h", 2000, 100_000),  # hours of rent to a purchase
]


@pytest.mark.parametrize(("of", "to", "least", "most"), PLAUSIBLE)
def test_the_figures_of_a_chip_go_together(of: str, to: str, least: float, most: float) -> None:
    shares = {found.name: getattr(found, of) / getattr(found, to) for found in chips() if both(found, of, to)}
    assert len(shares) > 5
    assert {name: share for name, share in shares.items() if not least <= share <= most} == {}


def both(found: Chip, *columns: str) -> bool:
    return all(getattr(found, column) for column in columns)


def test_a_users_own_chips_come_first() -> None:
    overlay_path().write_text("name,bf16_tflops,memory_gb,memory_tb_s\nours,100,32,1.5\n")
    assert chip("Ours").peak() == 100e12
    assert "ours" in chip_names()
    for text, sentence in (
        ("name,bf16\nours,100\n", "unknown column 'bf16'.* Did you mean 'bf16_tflops'"),
        ("name;bf16_tflops\nours;100\n", "Columns are between commas"),
        ("name,bf16_tflops\nours,fast\n", "bf16_tflops of 'ours' is 'fast'; expected 0.01 to 1e.06 dense TFLOPS"),
        ("name,bf16_tflops\nours,-1\n", "bf16_tflops of 'ours' is -1; expected"),
        ("name,bf16_tflops\nours,nan\n", "bf16_tflops of 'ours' is nan; expected"),
        ("name,bf16_tflops\nours,inf\n", "bf16_tflops of 'ours' is inf; expected"),
        ("name,memory_tb_s\nours,0\n", "memory_tb_s of 'ours' is 0; expected"),
        ("name,memory_tb_s\nours,3350\n", r"is 3350; expected 0.005 to 500 TB/s \(an H100 has 3.35\)"),
        ("name,memory_gb\nours,85899345920\n", r"expected 0.5 to 100000 GB \(an H100 has 80\)"),
        (
            "name,bf16_tflops,fp8_tflops\nours,100,50\n",
            "fp8_tflops of 'ours' is 50; expected at least bf16_tflops, 100",
        ),
        ("name,bf16_tflops\nours,1\nours,2\n", "'ours' has two rows"),
        ("name,bf16_tflops\nours,1,2\n", "the row of 'ours' has more fields than the heading"),
        ("name,bf16_tflops\n,1\n", "no name"),
    ):
        overlay_path().write_text(text)
        with pytest.raises(UserError, match=sentence):
            chip("ours")


OWN = """name,aliases,vendor,launched,source
ours,Our Chip,us,2026,our own sheet of 2026-10-01
"""
FIGURES = {"bf16_tflops": 400, "fp8_tflops": 800, "memory_gb": 96, "memory_tb_s": 4, "tdp_watts": 500,
           "scaleup_gb_s": 200, "scaleup_domain": 8, "scaleout_gb_s": 25, "purchase_usd": 12000}  # fmt: skip


def test_a_users_own_chip_is_planned_with() -> None:
    head, row = OWN.splitlines()
    overlay_path().write_text(f"{head},{','.join(FIGURES)}\n{row},{','.join(map(str, FIGURES.values()))}\n")
    ours = chip("our chip")
    assert {key: getattr(ours, key) for key in FIGURES} == FIGURES
    plan = plan_serving(ServingRequest("llama-3.1-8b", "ours", gpus=8))
    assert plan.chip == ours
    assert "our own sheet of 2026-10-01" in plan.sources
    with pytest.raises(UserError, match="Did you mean 'Our Chip'"):
        chip("our chap")


@pytest.mark.parametrize(
    ("name", "date", "buyer", "expected"),
    [
        ("H800", "2023-06", "cn", "allowed"),
        ("H800", "2023-10-16", "cn", "allowed"),
        ("H800", "2023-10-17", "cn", "banned"),
        ("H100", "2023-01-01", "cn", "banned"),
        ("H100", "2023-01-01", "us", "allowed"),
        ("H20", "2025-05-01", "cn", "banned"),
        ("H20", "2025-09", "cn", "licence"),
        ("H200", "2025-12-31", "cn", "banned"),
        ("H200", "2026-01-15", "cn", "licence"),
        ("B200", "2026-06", "cn", "banned"),
        ("B200", "2024", "cn", "not on sale"),
        ("910C", "2026", "cn", "allowed"),
        ("910C", "2026", "us", "banned"),
        ("910C", "2026", "any", "allowed"),
        ("RTX 5090", "2025-06", "cn", "banned"),  # derived from its TPP
        ("T4", "2025", "cn", "allowed"),
        ("H20-3e", "2025-05", "cn", "banned"),
        ("H20-3e", "2026", "cn", "licence"),
        ("B30A", "2026", "cn", "banned"),
        ("MI350X", "2026", "cn", "banned"),
        ("RTX 5080", "2026", "cn", "allowed"),  # derived from its TPP
        ("RTX 6000 Ada", "2023-06", "cn", "allowed"),
        ("TPU v5p", "2025", "us", "cloud only"),
    ],
)
def test_who_may_buy_what_and_when(name: str, date: str, buyer: str, expected: str) -> None:
    assert status(chip(name), date, buyer).status == expected


def test_a_status_names_its_rule() -> None:
    found = status(chip("H800"), "2024-06", "cn")
    assert "2023-10-17" in str(found)
    assert not found.may_buy
    assert "derived: TPP" in status(chip("RTX 5090"), "2025-06", "cn").note
    with pytest.raises(UserError, match="no region 'eu'"):
        status(chip("H20"), "2025", "eu")
    with pytest.raises(UserError, match="'soon' is not a date"):
        status(chip("H20"), "soon", "cn")


def test_windows_of_sale() -> None:
    assert sale_windows(chip("H800"), "cn") == [("2023-03-21", "2023-10-17")]
    assert sale_windows(chip("H20"), "cn") == [("2023-11-09", "2025-04"), ("2025-07", None)]
    assert sale_windows(chip("H200"), "cn") == [("2026-01-15", None)]
    assert sale_windows(chip("B200"), "cn") == []
    assert sale_windows(chip("H800"), "us") == [("2023-03-21", None)]


def test_export_rules_leave_no_gap_and_speak_of_chips_there_are() -> None:
    by_chip: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in csv.DictReader(TABLE.open(encoding="utf-8", newline="")):
        assert chip(row["chip"]).name == row["chip"]
        assert row["status"] in {"allowed", "licence", "banned"}
        assert row["rule"] or row["status"] == "allowed"
        by_chip.setdefault((row["chip"], row["buyer"]), []).append(row)
    for rows in by_chip.values():
        assert all(one["to"] == two["from"] for one, two in itertools.pairwise(rows))
        assert rows[-1]["to"] == ""


@given(st.sampled_from([found.name for found in chips()]), st.dates().map(str))
def test_any_is_never_worse_than_a_buyer(name: str, date: str) -> None:
    found = {buyer: status(chip(name), date, buyer) for buyer in BUYERS}
    assert found["any"].may_buy == (found["cn"].may_buy or found["us"].may_buy)


def test_the_market() -> None:
    assert {row.unit for row in figures("capex", "Meta")} == {"B$"}
    assert figure("M048").low == 226.75
    assert figure("M048").middle == pytest.approx(252.375)
    assert all(row.source and row.low <= row.high for row in market())
    with pytest.raises(UserError, match=r"no 'Metta'.* Did you mean 'Meta'"):
        figures("capex", "Metta")
    with pytest.raises(UserError, match="no row 'M999'"):
        figure("M999")
