"""`centime evaluate --tasks`: the harness hears of our engine what it hears of its own backend for transformers.

It runs in the environment that `make lm-eval` makes, which finds torch and centime in the one beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.peers.test_lm_eval import CHOOSE, PERPLEXITY, QUESTIONS, TEXTS, python, write_task
from tests.small import small_folder

pytestmark = pytest.mark.slow
__all__ = ["python"]

ROOT = Path(__file__).resolve().parents[2]
WRITE = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["t", "\n"], "max_gen_toks": 12, "do_sample": False},
    "metric_list": [{"metric": "exact_match"}],
}
LAST = {
    "output_type": "loglikelihood",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[answer]}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc"}, {"metric": "perplexity"}],
}
NORMED = CHOOSE | {"metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]}


def run(python: Path, arguments: list[str], home: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    offline = {"HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    environment = {**os.environ, **offline, "CENTIME_HOME": str(home / "centime"), "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), *arguments]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def tasks_in(folder: Path) -> list[str]:
    """Five kinds of tasks over texts of the test's own."""
    write_task(folder, "choose", QUESTIONS, NORMED)
    write_task(
        folder, "rolling", [*TEXTS, {"text": "the cat sat on the mat " * 40}], PERPLEXITY
    )  # longer than the model
    write_task(folder, "write", QUESTIONS, WRITE)
    write_task(folder, "last", QUESTIONS, LAST)
    long = [{**one, "question": "the cat sat on the mat " * 30 + one["question"]} for one in QUESTIONS]
    write_task(folder, "cut", long, NORMED)  # contexts that lose their beginning
    return ["choose", "rolling", "write", "last", "cut"]


def test_our_engine_scores_what_transformers_scores(python: Path, tmp_path: Path) -> None:
    small_folder(tmp_path / "model", 256)
    names = tasks_in(tmp_path)
    asked = ",".join(f"{name}.yaml" for name in names)
    ours = json.loads(run(python, ["-m", "centime", "evaluate", "model", "--tasks", asked, "--json"], tmp_path).stdout)
    script = Path(__file__).with_name("harness_hf.py")
    out = run(python, [str(script), "model", str(tmp_path), *names], tmp_path).stdout
    theirs: dict[str, dict[str, Any]] = json.loads(out[out.index('{"') :])
    assert {score["task"] for score in ours["tasks"]} == {*names}
    for score in ours["tasks"]:
        wanted = theirs["results"][score["task"]][f"{score['metric']},{score['filter']}"]
        assert score["mean"] == pytest.approx(wanted, rel=1e-4, abs=1e-9), score["task"]
    (written,) = [score for score in ours["tasks"] if score["task"] == "write"]
    assert sorted(one["answers"][0] for one in written["documents"].values()) == sorted(theirs["written"])
    assert ours["spent"]["cached_tokens"] > 0


def test_passes_are_drawn_kept_and_compared(python: Path, tmp_path: Path) -> None:
    small_folder(tmp_path / "model", 256)
    write_task(tmp_path, "write", QUESTIONS, WRITE)
    evaluate = ["-m", "centime", "evaluate", "model", "--tasks", "write.yaml", "--seeds", "3"]
    first = json.loads(run(python, [*evaluate, "--out", "first.json", "--json"], tmp_path).stdout)
    assert json.loads((tmp_path / "first.json").read_text()) == first
    (score,) = first["tasks"]
    assert score["passes"] == 3
    answers = [one["answers"] for one in score["documents"].values()]
    assert any(len(set(three)) > 1 for three in answers)
    again = run(python, [*evaluate, "--against", "first.json"], tmp_path)
    assert "the same" in again.stdout
    assert "pass@3" in again.stdout
    assert list((tmp_path / "centime" / "evaluations").glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "absent"], "the harness has no task 'absent'"),
        (["--tasks", "absent.yaml"], "absent.yaml is no task"),
        (["--tasks", "bad.yaml"], "bad.yaml is no task: it has no `task: NAME`"),
        (["--tasks", "hub.yaml"], "the harness could not run hub: "),
        (["--tasks", "long.yaml"], "the task asks for answers of 9,999 tokens, and the model has 64 positions"),
        (["--tasks", "write.yaml", "--against", "bad.yaml"], "bad.yaml has no results of tasks"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(python: Path, arguments: list[str], said: str, tmp_path: Path) -> None:
    small_folder(tmp_path / "model")
    (tmp_path / "bad.yaml").write_text("- 1\n")
    write_task(tmp_path, "write", QUESTIONS, WRITE)
    write_task(tmp_path, "long", QUESTIONS, WRITE | {"generation_kwargs": {"until": ["t"], "max_gen_toks": 9999}})
    hub = {"task": "hub", "dataset_path": "no/such", "test_split": "test", **LAST}
    (tmp_path / "hub.yaml").write_text(json.dumps(hub))
    done = run(python, ["-m", "centime", "evaluate", "model", *arguments], tmp_path, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "centime" / "evaluations").exists()
