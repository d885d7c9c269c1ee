"""The report is one self-contained page that says what the run folder says, and a browser opens it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.charts.heat_map import load_image
from centime.charts.lines import MOST_POINTS
from centime.charts.scale import linear_ticks, log_ticks, tick_labels
from centime.errors import UserError
from centime.train.report.bill import bill_table
from centime.train.report.figures import _percent, _scientific, count_of, decimal, figures_of
from centime.train.report.page import read_run, write_report

BILL = {
    "currency": "USD",
    "price_date": "2026-11-01",
    "lines": [
        {"stage": "pretrain", "device": "a CPU", "devices": 1, "device_hours": 0.5, "tokens": 81920, "flops": 2e12,
         "mfu": 0.31, "energy_kwh": 0.02, "energy_source": "estimated", "cost": 0.04, "cost_source": "assumed"},
        {"stage": "sft", "device": "a CPU", "devices": 1, "device_hours": 0.1, "tokens": 20480, "flops": None,
         "mfu": None, "energy_kwh": None, "energy_source": None, "cost": None, "cost_source": None},
    ],
    "total": {"device_hours": 0.6, "tokens": 102400, "flops": 2e12, "cost": 0.04},
    "plan": {
        "predicted": {"device_hours": 0.5, "tokens": 100000, "cost": 0.05, "stages": {"sft": {"tokens": 25600}}},
        "actual": {"device_hours": 0.6, "tokens": 102400, "cost": 0.04, "stages": {"sft": {"tokens": 20480}}},
    },
    "notes": ["cost assumed: priced as 2 vCPUs"],
}  # fmt: skip


def step(stage: str, number: int, tokens: int, **more: Any) -> dict[str, Any]:
    loss = 2 + 6 * math.exp(-number / 10)
    record = {
        "stage": stage, "step": number, "tokens": tokens, "loss": loss * 1.3, "main_loss": loss, "mtp_loss": loss + 0.4,
        "balance_loss": 1e-4, "bits_per_byte": loss / 2.1, "lr": 1e-3, "grad_norm": 0.5, "tokens_per_s": 5000.0,
        "mfu": 0.3, "max_violation": 0.4, "cost": number * 1e-5, "skipped": False,
    }  # fmt: skip
    return record | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "a run & <co>"
    run.mkdir()
    records = [step("pretrain", i, 2048 * (i + 1), expert_load=[[4, 0, 2, 2], [1, 1, 1, 1]]) for i in range(40)]
    records += [step("sft", i, 2048 * (i + 1)) for i in range(10)]
    records.insert(20, {"stage": "pretrain", "step": 19, "tokens": 40960, "eval_loss": 3.0, "eval_bits_per_byte": 1.43})
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + '{"stage": "sft", "st')
    (run / "recipe.toml").write_text('name = "<b>tiny</b>"\n')
    sample = {"stage": "pretrain", "tokens": 81920, "prompt": "def ", "text": "</pre><script>alert(1)</script>"}
    (run / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    return run


class Page(HTMLParser):
    """Text, tags and addresses of a page; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "action", "data", "poster", "srcset"}]
        if tag not in {"meta", "img", "br", "link", "input"}:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_says_what_the_run_says(folder: Path) -> None:
    path = write_report(folder, BILL)
    assert path == folder / "report.html"
    text = path.read_text()
    page = Page(text)
    assert "50 steps of pre-training, then post-training, SFT" in page.text
    assert "a run & <co>" in page.text
    assert "$0.0400" in page.text  # the bill
    assert "On 1 × a CPU." in page.text
    assert page.text.count("a CPU") == 1  # once, not in every row
    assert "Measured, but for ~ estimated, * assumed." in page.text
    assert "Cost assumed: priced as 2 vCPUs." in page.text
    assert "Post-training, SFT: tokens 25.6 K 20.5 K 0.80" in page.text
    assert "0.80" in page.text  # cost: actual over plan
    assert "1.20" in page.text  # device time: actual over plan
    assert "1.430" in page.text  # held-out
    assert 'name = "<b>tiny</b>"' in page.text
    assert "</pre><script>alert(1)</script>" in page.text  # as text, not as a tag
    assert page.tags.count("script") == 1
    assert page.tags.count("img") == 2  # a load picture for each MoE layer
    assert "take 0.00 and the most loaded 2.00 times the mean; 1 take nothing" in text.replace("takes", "take")
    assert page.tags.count("svg") == 2 * 9  # eight figures, the loss in two panels; each with its stretched part


def test_the_page_needs_nothing_else(folder: Path) -> None:
    text = write_report(folder, BILL).read_text()
    assert all(address.startswith("data:") for address in Page(text).addresses)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\s*\(", text)
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not list(folder.glob("*.partial"))


def test_stages_that_count_from_zero_follow_one_another(folder: Path) -> None:
    run = read_run(folder)
    assert run.starts == [(40 * 2048, "sft")]
    assert [r["tokens"] for r in run.steps] == [2048 * (i + 1) for i in range(50)]


def test_a_step_done_again_after_a_resume_counts_once(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("\n" + json.dumps(step("sft", 9, 20480, main_loss=7.0)) + "\n")
    run = read_run(folder)
    assert len(run.steps) == 50
    assert run.steps[-1]["main_loss"] == 7.0


def test_a_run_with_almost_nothing_still_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    assert "No step was recorded" in write_report(tmp_path).read_text()
    bad = step("pretrain", 0, 2048, main_loss=float("nan"), loss=float("nan"), skipped=True)
    (tmp_path / "metrics.jsonl").write_text(json.dumps(bad) + "\n")
    text = write_report(tmp_path).read_text()
    assert "Steps skipped" in text
    assert "nan" not in text.lower()
    Page(text)


def test_a_bill_lies_in_the_folder_or_is_given(folder: Path) -> None:
    assert read_run(folder).bill is None
    (folder / "bill.json").write_text(json.dumps(BILL))
    assert read_run(folder).bill == BILL
    assert read_run(folder, {"lines": []}).bill == {"lines": []}
    assert "$0.0400" in write_report(folder).read_text()


def test_only_what_was_assumed_or_estimated_is_marked(folder: Path) -> None:
    first, second, total = bill_table(BILL)["table"].rows
    assert (first[-2:], second[-2:], total[-2:]) == (["20 Wh~", "$0.0400*"], ["–", "–"], ["–", "$0.0400"])


def test_curves_begin_at_nothing_and_money_is_held_against_the_plan(folder: Path) -> None:
    charts = {chart.title: chart for figure in figures_of(read_run(folder, BILL)) for _, chart in figure.panels}
    assert {chart.span[0] for chart in charts.values() if chart.span} == {0.0}
    assert charts["Money spent"].level == (0.05, "plan")
    assert [chart.level for title, chart in charts.items() if title != "Money spent"] == [None] * (len(charts) - 1)


@pytest.mark.parametrize("steps", [1, 2, MOST_POINTS, MOST_POINTS + 1])
def test_a_band_is_spoken_of_where_one_is_drawn(tmp_path: Path, steps: int) -> None:
    lines = [json.dumps(step("pretrain", i, 2048 * (i + 1))) for i in range(steps)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    text = write_report(tmp_path).read_text()
    assert ("a shaded band reaches" in text) == ('class="band' in text) == (steps > MOST_POINTS)


def test_a_picture_of_loads_has_a_column_for_each_of_as_many_moments(tmp_path: Path) -> None:
    """Of 160 steps each is one, from the first to the last; the colours are of the load over its layer's mean."""
    loads = [[i, 2, 300 - i] for i in range(160)]
    lines = [json.dumps(step("pretrain", i, 2048 * (i + 1), expert_load=[loads[i]])) for i in range(160)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    text = write_report(tmp_path).read_text()
    mean = 302 / 3
    assert load_image([[load[expert] / mean for load in loads] for expert in range(3)]) in text
    assert "<span>2.05 K</span><span>328 K tokens</span>" in text
    (tmp_path / "metrics.jsonl").write_text(lines[7])
    text = write_report(tmp_path).read_text()
    assert load_image([[load / mean] for load in loads[7]]) in text
    assert "<span>16.4 K</span><span>16.4 K tokens</span>" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1e-4, "0.0001"),
        (1.5e-4, "0.00015"),
        (9.9e-5, "9.9e-5"),
        (-3e-5, "-3e-5"),
        (9.99e6, "9990000"),
        (1e7, "1e7"),
    ],
)
def test_powers_of_ten_stand_where_zeros_would_fill_the_line(value: float, text: str) -> None:
    assert decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (100, "100"), (5e5, "500 K"), (1e6, "1 M"), (1.5e6, "1.5 M"), (16_384, "16.4 K")]
)
def test_a_tick_s_count_has_no_zeros_at_its_end(value: float, text: str) -> None:
    assert count_of(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0015, "1.5e-3"), (0, "0"), (3e-4, "3e-4"), (100, "1e2")])
def test_a_learning_rate_is_a_power_of_ten(value: float, text: str) -> None:
    assert _scientific(value) == text
    assert _percent(value / 100).endswith(" %")


def test_a_folder_that_is_no_run_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.jsonl does not exist"):
        write_report(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html is a folder, where a page is to be written"):
        write_report(tmp_path)


@given(st.floats(-12, 9), st.floats(0.1, 9))
def test_every_tick_of_a_log_axis_says_its_value(low: float, decades: float) -> None:
    ticks = log_ticks(10**low, 10 ** (low + 1.7 + decades))
    labels = tick_labels(ticks, decimal, decimal)
    assert [float(label) for label in labels] == pytest.approx(ticks)


@given(st.floats(1e-3, 1e6), st.floats(1e-4, 1))
def test_ticks_of_a_linear_axis_are_told_apart(low: float, part: float) -> None:
    ticks = linear_ticks(low, low * (1 + part))
    assert [float(label) for label in tick_labels(ticks, decimal, decimal)] == pytest.approx(ticks)


@given(st.floats(1e3, 1e13))
def test_ticks_of_tokens_are_told_apart(most: float) -> None:
    labels = tick_labels(linear_ticks(0, most, 6), count_of, count_of)
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 7 for label in labels)


@pytest.mark.slow
def test_a_browser_opens_the_page_and_its_script_runs(folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    page = write_report(folder, BILL)
    # The same page with a probe: report errors, hover a chart and press a key, in the title.
    probe = """<script>
    window.addEventListener("load", () => {
      const svg = document.querySelector("figure svg"), box = svg.getBoundingClientRect();
      svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 40}));
      const hovered = svg.querySelectorAll(".hover text").length;
      svg.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
      const wide = document.documentElement.scrollWidth > innerWidth;
      const words = svg.querySelector(".hover").textContent;
      document.title = JSON.stringify({errors: window.errors, hovered, words, wide});
    });</script></body>"""
    catch = "<script>window.errors = []; window.onerror = (m) => window.errors.push(String(m));</script></head>"
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</head>", catch).replace("</body>", probe))
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    for size in ("1280,900", "500,900"):
        done = subprocess.run(
            [*common, f"--window-size={size}", "--dump-dom", probed.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
        assert title
        said = json.loads(title[1])
        assert said["errors"] == []
        assert said["hovered"] == 2
        assert "next token: " in said["words"] or "MTP: " in said["words"]
        assert not said["wide"]
