"""`centime plan train`, `check` and `rerun` as a person runs them, and what a plan never loads."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import forked

from centime.cli import main

ROOT = Path(__file__).resolve().parents[2]
V3 = ("train", "--model", "deepseek-v3", "--tokens", "14.8T", "--gpu", "h800", "--gpus", "2048", "--price", "$2/h")


def centime(*arguments: str, module: str = "centime") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *arguments], capture_output=True, text=True, check=False
    )


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return centime("plan", *arguments)


def here(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of a plan in this process, which has all that a new one would load first."""
    monkeypatch.setattr(sys, "argv", ["centime", "plan", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def test_train_answers_with_the_documented_keys_and_loads_nothing_heavy() -> None:
    done = plan(*V3, "--json")
    assert done.returncode == 0, done.stderr[-500:]
    told = json.loads(done.stdout)
    assert told["gpu_hours"] == pytest.approx(2.788e6, rel=0.06)
    assert told["cost_usd"] == pytest.approx(5.576e6, rel=0.06)
    assert set(told["memory_gib_per_gpu"]) >= {"weights", "optimizer", "gradients", "activations", "buffers", "total"}
    assert told["memory_gib_per_gpu"]["total"] < 80e9 / 2**30
    assert set(told["breakdown_s"]) >= {"compute", "attention", "exposed_comm", "bubble", "optimizer"}
    assert told["interval"]["low"] < told["gpu_hours"] < told["interval"]["high"]
    assert told["card"]["verb"] == "train"
    loaded = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert loaded & {"torch", "numpy", "scipy", "jinja2"} == set()


def test_a_card_gives_the_same_plan_again_and_says_what_moved(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    assert plan(*V3, "--card", str(card), "--html", str(tmp_path / "plan.html"), "--lang", "fr").returncode == 0
    assert "Heures de GPU" in (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert plan("rerun", str(card)).returncode == 0
    kept = json.loads(card.read_text(encoding="utf-8"))
    kept["inputs"]["gpus"] = 1024
    card.write_text(json.dumps(kept), encoding="utf-8")
    assert plan("rerun", str(card)).returncode == 1


def test_a_price_scales_the_cost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(price: str) -> dict[str, Any]:
        assert here(monkeypatch, *V3[:-1], price, "--json") == 0
        return json.loads(capsys.readouterr().out)

    two, four = told("$2/h"), told("$4/h")
    assert four["cost_usd"] == pytest.approx(2 * two["cost_usd"])
    assert four["gpu_hours"] == two["gpu_hours"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--model", "deepseek-v33"), "deepseek-v3"),
        (("--gpu", "h8000"), "h800"),
        (("--tokens", "many"), "14.8T"),
        (("--layout", "pp=7"), "pp"),
        (("--layout", "ep=8"), "GiB"),
        (("--price", "cheap"), "$"),
        (("--region", "mars"), "cn"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(
    change: tuple[str, str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(monkeypatch, *V3, *change) == 2
    assert words.lower() in capsys.readouterr().err.lower()


ROW = {
    "id": "X1", "group": "mine", "kind": "benchmark-pretrain", "model": "LLAMA3_8B", "arch": "dense", "layers": "32",
    "hidden": "4096", "heads": "32", "kv_heads": "8", "ffn": "14336", "vocab": "128256", "attention": "GQA",
    "seq_len": "8192", "global_batch_seqs": "128", "micro_batch": "1", "gpu": "H100 SXM 80GB", "n_gpus": "8", "tp": "1",
    "pp": "1", "cp": "1", "precision": "BF16", "tokens_per_s_per_gpu": "9000",
}  # fmt: skip
OTHERS = [
    "tokens_b", "params_total_b", "params_active_b", "n_experts", "topk", "vp", "dp", "ep", "fsdp_zero", "schedule",
    "recompute", "step_time_s", "tflops_per_gpu", "mfu_pct", "mem_gib", "gpu_hours", "wall_days", "cost_usd",
    "cost_basis", "confidence", "memory_fields", "source", "source_loc", "notes", "software", "software_date",
]  # fmt: skip


def write(path: Path, *rows: dict[str, str], drop: str = "") -> Path:
    names = [name for name in [*ROW, *OTHERS] if name != drop]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_check_predicts_rows_and_says_why_it_cannot(tmp_path: Path) -> None:
    strange = ROW | {"id": "X2", "model": "nobody's", "layers": "", "hidden": ""}
    done = plan("check", str(write(tmp_path / "runs.csv", ROW, strange)), "--json")
    assert done.returncode == 0, done.stderr[-500:]
    told = json.loads(done.stdout)
    first, second = told["rows"]
    assert set(first) >= {"id", "target", "unit", "predicted", "low", "high", "actual", "error", "reason"}
    assert first["error"] == pytest.approx(first["predicted"] / 9000 - 1)
    assert second["predicted"] is None
    assert second["reason"]
    assert (told["total"]["n"], told["total"]["answered"]) == (2, 1)
    assert set(told["total"]) >= {"median_abs_error", "p90_abs_error", "bias", "coverage80", "median_width"}


def test_another_target_does_not_move_a_prediction(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"id": "X2", "tokens_per_s_per_gpu": "90000"}]
    told = json.loads(plan("check", str(write(tmp_path / "runs.csv", *rows)), "--json").stdout)
    assert told["rows"][0]["predicted"] == told["rows"][1]["predicted"]


def test_a_file_without_its_columns_is_a_sentence(tmp_path: Path) -> None:
    done = plan("check", str(write(tmp_path / "runs.csv", ROW, drop="seq_len")))
    assert done.returncode == 2
    assert "seq_len" in done.stderr
    assert plan("check", str(tmp_path / "none.csv")).returncode == 2


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = re.findall(r"^centime plan (.*)$", (ROOT / "docs" / "plan.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) > 5
    monkeypatch.chdir(tmp_path)
    for line in shown:
        done = forked.centime("plan", *shlex.split(line), "--html", "page.html")
        assert done.returncode == 0, f"{line}: {done.stderr[-500:]}"
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "<svg" in page or 'class="bars"' in page, f"{line}: nothing is drawn"
