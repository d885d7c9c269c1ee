"""The report in a browser: nothing is wider than its card at any width, and every picture is where one can see it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.browser import OUTSIDE, OVERLAPS, NewPage
from tests.ledger.made import made

from centime.ledger import Book
from centime.ledger.billing import bill_of
from centime.train.report.page import write_report

pytestmark = pytest.mark.slow

WIDTHS = (390, 768, 1138, 1440, 1920)
LONG = "Intel(R) Xeon(R) Platinum 8488C with a name that its firmware made as long as it could, stepping 8"
SHAPES: dict[str, dict[str, Any]] = {
    "one stage": {"stages": ["pretrain"], "devices": ["Test CPU"]},
    "three stages": {"stages": ["pretrain", "context", "sft"], "devices": [LONG]},
    "five stages on two devices": {
        "stages": ["pretrain", "context", "context-2", "sft", "a_stage_of_somebody's_own"],
        "devices": [LONG, "NVIDIA H800"],
        "times": 3e6,
    },
}


def run_of(folder: Path, stages: Sequence[str], devices: Sequence[str], times: float = 1.0) -> Path:
    """A run's folder with a report: 24 steps a stage, on the devices in turn, `times` as large as a small run."""
    records, tokens = [], 0
    for stage in stages:
        for step in range(24):
            tokens = round((step + 1) * 2048 * times * (0.05 if stage.startswith("sft") else 1))
            loss = 0.002 + 7 * math.exp(-step / (2 if stage.startswith("sft") else 12))
            records.append(
                {
                    "stage": stage,
                    "step": step,
                    "tokens": tokens,
                    "loss": loss,
                    "main_loss": loss,
                    "mtp_loss": loss * 1.1,
                }
                | {"bits_per_byte": loss / 2, "lr": 1e-3, "grad_norm": loss, "tokens_per_s": 5e3 * times, "mfu": 0.3}
                | {"max_violation": 0.4, "cost": step * 1e-6 * times, "expert_load": [[1, 2, 3, 0]]}
            )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "recipe.toml").write_text('name = "' + "long" * 60 + '"\n')
    sample = {"stage": "pretrain", "tokens": 9, "prompt": "x" * 300, "text": "y" * 900}
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    with Book(folder / "ledger.sqlite") as book:
        rows = [
            made(stage, 0.0001 * times, device=device, tokens=round(1e5 * times), flops=1e12 * times, peak_flops=1e11)
            for stage, device in zip((*stages, "startup"), itertools.cycle(devices))
        ]
        book.write(rows)
        figures = {
            "seconds": 0.4 * times,
            "seconds_low": 0.3 * times,
            "seconds_high": 0.5 * times,
            "device_hours": 0.0001 * times,
            "cost": 0.0002 * times,
            "tokens": 1e5,
        }
        book.set_plan("/runs/tiny", figures | {"stages": dict.fromkeys(stages, figures)})
        return write_report(folder, bill_of(book, "/runs/tiny").as_json())


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_outside_its_card_at_any_width(shape: str, tmp_path: Path, new_page: NewPage) -> None:
    page = new_page(run_of(tmp_path, **SHAPES[shape]).as_uri())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for opened in ("false", "true"):
            page.evaluate(f"document.querySelectorAll('details').forEach((each) => (each.open = {opened}))")
            assert page.evaluate(OUTSIDE) == [], (width, opened)
        assert page.evaluate(OVERLAPS) == [], width
        plots = page.evaluate("[...document.querySelectorAll('svg.chart')].map((svg) => svg.clientWidth)")
        assert min(plots) >= 200, width
        assert page.locator("h2#bill ~ .card >> nth=0").get_by_text("Total", exact=True).is_visible()
    heads = page.locator("table[aria-labelledby=bill] thead th").all_inner_texts()
    assert heads[-1] == "Cost"
    assert ("Device" in heads) == (len(SHAPES[shape]["devices"]) > 1)


def test_every_stage_has_a_loss_scale_of_its_own(tmp_path: Path, new_page: NewPage) -> None:
    page = new_page(run_of(tmp_path, **SHAPES["three stages"]).as_uri())
    loss = page.locator("figure", has_text="nats per token")
    assert loss.locator("h3").all_inner_texts() == ["Pre-training", "Context extension", "Post-training, SFT"]
    ticks = [chart.locator("text.tick").all_text_contents() for chart in loss.locator("svg.chart").all()]
    assert len(ticks) == 3
    assert "0.01" in ticks[2]  # fine-tuning's is logarithmic
    assert "0.01" not in ticks[0]


def test_a_phone_names_every_figure_of_a_row(tmp_path: Path, new_page: NewPage) -> None:
    page = new_page(run_of(tmp_path, **SHAPES["three stages"]).as_uri(), width=390)
    row = page.locator("table[aria-labelledby=bill] tbody tr").first
    cells = row.locator("td")
    named = cells.evaluate_all("(all) => all.map((cell) => getComputedStyle(cell, '::before').content)")
    assert named[:2] == ['"Device time "', '"Tokens "']
    stage, cost = row.locator("th").bounding_box(), cells.last.bounding_box()
    assert stage
    assert cost
    assert abs(stage["y"] - cost["y"]) < 5  # beside each other, on the row's first line
    assert cost["x"] > 200


def test_a_chart_tells_its_values_to_pointer_and_keys(tmp_path: Path, new_page: NewPage) -> None:
    page = new_page(run_of(tmp_path, **SHAPES["three stages"]).as_uri())
    chart = page.locator("svg.chart").first
    chart.hover()
    assert (chart.locator(".hover text").first.text_content() or "").startswith(("next token: ", "MTP: "))
    before = chart.locator(".hover circle").get_attribute("cx")
    chart.press("ArrowRight")
    assert chart.locator(".hover circle").get_attribute("cx") != before
