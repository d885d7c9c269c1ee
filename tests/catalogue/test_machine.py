"""The machine's profile on disk, and rates between the measured ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.step.test_calibrated import machine

from centime.catalogue.machine import read_profile, write_profile
from centime.errors import UserError


def test_a_profile_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_profile(machine(), tmp_path / "deep" / "machine.json")
    assert read_profile(path) == machine()
    assert [file.name for file in path.parent.iterdir()] == ["machine.json"]
    assert read_profile(tmp_path / "none.json") is None


def test_a_profile_goes_over_another_and_over_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    for _ in range(2):
        write_profile(machine(), path)
    path.write_text('{"mine": 1}')
    with pytest.raises(UserError, match="machine profile"):
        write_profile(machine(), path)
    assert path.read_text() == '{"mine": 1}'


@pytest.mark.parametrize("text", ["", "{}", '{"version": 99}', '{"version": 2, "gemms": 3}'])
def test_a_file_that_is_no_profile_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "machine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="centime calibrate"):
        read_profile(path)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="--out"):
        write_profile(machine(), tmp_path / "file" / "machine.json")


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(1, 1e5))
def test_a_rate_lies_among_the_measured_ones(m: float, k: float, n: float) -> None:
    profile = machine()
    known = [gemm.flops_per_s for gemm in profile.gemms]
    assert min(known) * 0.999 <= profile.rate("bf16", m, k, n) <= max(known) * 1.001


def test_a_rate_of_a_measured_shape_is_close_to_it() -> None:
    profile = machine()
    gemm = profile.gemms[1]
    assert profile.rate("bf16", gemm.m, gemm.k, gemm.n) == pytest.approx(gemm.flops_per_s, rel=0.05)
    with pytest.raises(UserError, match="fp8"):
        profile.rate("fp8", 1, 1, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threads": "two"}, 'threads is "two"; it should be a valid integer'),
        ({"gemms": [{"dtype": "fp32"}]}, r"gemms\.0\.m is missing"),
        ({"memory_bytes_per_s": 0}, "a rate of 0; rates are more than 0"),
        ({"gemms": None}, "gemms is null"),
        ({"version": 1}, "no machine profile of version 2, but 1"),
    ],
)
def test_a_profile_put_wrong_is_a_sentence(tmp_path: Path, change: dict[str, object], says: str) -> None:
    file = tmp_path / "machine.json"
    write_profile(machine(), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=says + ".*make it anew"):
        read_profile(file)
