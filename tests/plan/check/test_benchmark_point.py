"""Rows as points of a chart: whose speeds, over how many chips, and why some are none."""

from __future__ import annotations

import pytest

from centime.plan.check.benchmark_point import BenchmarkPoint, benchmark_point
from centime.plan.check.file import SERVING

POINT = {
    "id": "a", "model": "Llama-3.1-8B", "gpu": "H100 SXM 80GB", "n_gpus": "1", "precision": "fp8", "engine": "vllm",
    "config": "agg TP1 PP1 attnDP1 moeTP1 EP1 bs32", "phase": "agg", "isl": "1024", "osl": "512",
    "concurrency_or_batch": "32", "ttft_ms": "200", "tpot_ms": "10",
}  # fmt: skip


def row(**changed: str) -> dict[str, str]:
    return dict.fromkeys(SERVING.columns, "") | POINT | changed


def point(**changed: str) -> BenchmarkPoint:
    found = benchmark_point(row(**changed))
    assert isinstance(found, BenchmarkPoint), found
    return found


def test_a_closed_loop_by_littles_law() -> None:
    assert point().per_user == 100
    assert point().per_chip == pytest.approx(32 * 512 / (0.2 + 511 * 0.01))


def test_chips_are_those_of_the_layout() -> None:
    """Not of a table that multiplies degrees of the same chips; with the copies that clients were spread over."""
    one = point()
    half = point(config="agg TP2 PP1 attnDP1 moeTP1 EP1 bs32", n_gpus="2")
    assert half.per_chip == pytest.approx(one.per_chip / 2)
    copies = point(concurrency_or_batch="64")  # twice the batch: another unit that is not counted
    assert copies.per_chip == pytest.approx(one.per_chip)
    mixture = {"model": "DeepSeek-V3", "gpu": "B200 SXM 180GB", "concurrency_or_batch": "4"}
    told = point(**mixture, n_gpus="8", config="agg TP8 PP1 attnDP1 moeTP1 EP8 bs4")
    multiplied = point(**mixture, n_gpus="64", config="agg TP64 PP1 attnDP1 moeTP8 EP8 bs4")
    assert (told.gpus, multiplied.gpus) == (8, 8)
    assert multiplied.per_chip == pytest.approx(told.per_chip)
    assert point(config="", n_gpus="4").gpus == 4


def test_stated_rates_come_first() -> None:
    assert point(output_tok_s_per_gpu="77").per_chip == 77
    stated = point(tpot_ms="", tok_s_per_user="25", total_tok_s_per_gpu="300", concurrency_or_batch="")
    assert (stated.per_user, stated.per_chip) == (25, pytest.approx(100))
    assert set(stated.to_json()) == {"id", "chip", "engine", "precision", "per_user", "per_chip"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tpot_ms": ""}, "no speed"),
        ({"concurrency_or_batch": ""}, "no tokens of a chip"),
        ({"isl": ""}, "no lengths"),
        ({"confidence": "layout as told; doubtful"}, "doubts"),
        ({"gpu": "Z9000"}, "not known"),
        ({"gpu": "MI300X (x32), MI325X (x16)"}, "several kinds"),
        ({"model": "DeepSeek-V3", "mtp_spec": "MTP=3"}, "drafted"),
    ],
)
def test_what_is_no_point_says_why(changed: dict[str, str], why: str) -> None:
    found = benchmark_point(row(**changed))
    assert isinstance(found, str)
    assert why in found
