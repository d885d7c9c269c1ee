"""Jobs of Slurm, as sacct prints them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ledger.imports.reports import SACCT, START, saved
from tests.ledger.made import HOUR

from centime.ledger import Book
from centime.ledger.imports import Terms, read_statements


def test_jobs_of_slurm(tmp_path: Path) -> None:
    found = read_statements(saved(tmp_path / "jobs", SACCT), Terms())
    assert [(job.name, job.device, job.device_ns) for job in found] == [
        ("pretrain", "H100", 16 * HOUR),
        ("sweep", "CPU (4 vCPU)", HOUR),
        ("running", "GPU", 600 * 10**9),
    ]
    assert found[0].cost_source == "catalogue"
    assert found[1].cost_source == "assumed"
    assert found[2].cost_pico is None  # a GPU of no type has no price
    (given, *_) = read_statements(str(tmp_path / "jobs"), Terms(price="$2/h"))
    assert given.cost_pico == 32 * 10**12


@pytest.mark.parametrize(
    ("elapsed", "seconds"), [("2-03:04:05", 183_845), ("01:00:00", 3600), ("00:59", 59), ("3600", 3600)]
)
def test_elapsed_times_of_slurm(tmp_path: Path, elapsed: str, seconds: int) -> None:
    text = (
        f"JobIDRaw|Start|Elapsed|AllocTRES|\n7|1793491200|{elapsed}|cpu=2|\n"  # --parsable, and seconds since the epoch
    )
    (job,) = read_statements(saved(tmp_path / "jobs", text), Terms())
    assert job.device_ns == seconds * 10**9
    assert job.start_ns == 1_793_491_200 * 10**9


def test_jobs_of_two_clusters_with_one_number_and_start_stay_two(tmp_path: Path, book: Book) -> None:
    header = "JobID|JobName|Start|End|ElapsedRaw|AllocTRES\n"
    for name, job, seconds in (("a", "train", 100), ("b", "sweep", 50), ("a", "train", 200), ("b", "sweep", 60)):
        row = f"7|{job}|2026-11-01T00:00:00|Unknown|{seconds}|gres/gpu=1\n"
        book.take_in(read_statements(saved(tmp_path / name, header + row, START + seconds), Terms()))
    assert sorted((one.name, one.device_ns // 10**9) for one in book.imported()) == [("sweep", 60), ("train", 200)]
