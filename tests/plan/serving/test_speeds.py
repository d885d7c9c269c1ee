"""Which fitted terms act on a chip and its software: each on what it is named after, and none on nothing."""

from __future__ import annotations

import pytest

from centime.catalogue.chips import chip, chips
from centime.plan.serving.speeds import ServingSoftware, constants, terms


@pytest.mark.parametrize(
    ("on", "engine", "active"),
    [
        ("h100", "", {"year"}),
        ("a100 sxm 80gb", "trt", {"year", "ampere", "trt"}),
        ("l40s", "in-house", {"year", "card"}),
        ("b200", "vllm", {"year", "blackwell", "blackwell_year", "vllm", "vllm_blackwell"}),
        ("rtx pro 6000", "sglang", {"year", "blackwell", "blackwell_year", "card", "sglang", "sglang_blackwell"}),
        ("mi300x", "sglang", {"foreign", "foreign_year", "amd", "sglang"}),
        ("arc pro b60", "vllm", {"foreign", "foreign_year", "intel", "vllm"}),
        ("tpu v5e", "", {"foreign", "foreign_year"}),
    ],
)
def test_terms_are_of_the_maker_the_generation_and_the_engine(on: str, engine: str, active: set[str]) -> None:
    assert terms(chip(on), ServingSoftware(engine, 2025.5)).keys() == active


@pytest.mark.parametrize(("year", "ours", "others"), [(2025.25, 0.25, 0.75), (2020.0, -1.0, 0.0), (2035.0, 2.0, 2.0)])
def test_years_count_as_far_as_was_measured(year: float, ours: float, others: float) -> None:
    blackwell, foreign = (terms(chip(name), ServingSoftware("", year)) for name in ("b200", "mi300x"))
    assert (blackwell["year"], blackwell["blackwell_year"], foreign["foreign_year"]) == (ours, ours, others)


def test_every_fitted_term_acts_on_a_chip_of_the_catalogue() -> None:
    acting = {
        term for kind in chips() for name in ("vllm", "sglang", "trt") for term in terms(kind, ServingSoftware(name))
    }
    assert acting == {name.partition(".")[0] for name in constants() if "." in name}
