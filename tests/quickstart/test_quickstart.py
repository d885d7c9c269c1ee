"""The quickstart as a whole, with a run that takes no time in place of its training: what is said, and what is told."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.quickstart.test_corpus import folder_of
from tests.small import small_model, small_tokenizer

from centime.errors import UserError
from centime.evaluate.arithmetic import Marks
from centime.quickstart import quickstart as whole
from centime.quickstart.quickstart import command, quickstart


class Run:
    """What the parts of a quickstart were given; `signal` is what its training ended by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.given: dict[str, Any] = {}
        self.signal: signal.Signals | None = None
        self.text = folder_of(tmp_path / "text", files=64, each=20_000)
        self.wanted = tmp_path / "runs" / "quick"
        tokenizer = small_tokenizer(tmp_path / "tokenizer")
        model = small_model(tokenizer)
        marks = Marks(right=1, total=2, prompt_tokens=3, generated_tokens=4, examples=[])
        found = {
            "make_tokenizer": tokenizer.folder,
            "make_shards": (320_000, 10_000),
            "make_sums": [f"{at} + 1" for at in range(200)],
            "make_recipe": "the recipe",
            "before_sft": model,
            "save": None,
            "load": model,
            "show_samples": [{"prompt": "a", "text": "b"}],
            "show_bits": SimpleNamespace(as_json=lambda: {"bits_per_byte": 1.5}),
            "show_sums": {"before_sft": marks, "after_sft": marks},
            "write_report": tmp_path / "report.html",
        }
        for name, value in found.items():
            monkeypatch.setattr(whole, name, self.part(name, value))
        monkeypatch.setattr(whole, "show_sums", self.sums(found["show_sums"]))
        monkeypatch.setattr(whole, "Setup", self.part("Setup", SimpleNamespace(dtype=None)))
        monkeypatch.setattr(whole, "TrainingRun", lambda _: SimpleNamespace(go=lambda: self))

    def part(self, name: str, value: Any) -> Any:
        def called(*given: Any, **named: Any) -> Any:
            self.given[name] = (*given, *named.values())
            return value

        return called

    def sums(self, marks: Any) -> Any:
        """The last part, which books five tokens."""
        part = self.part("show_sums", marks)

        def called(*given: Any) -> Any:
            given[-1].add(tokens=5)
            return part(*given)

        return called

    def go(self, **options: Any) -> tuple[int, dict[str, Any]]:
        return quickstart(self.wanted, options.pop("budget", None), self.text, "$1/h", **options)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.delenv("CENTIME_SMOKE", raising=False)
    return Run(monkeypatch, tmp_path)


def test_all_that_came_out_is_told_and_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run.go()
    out = capsys.readouterr().out
    assert code == 0
    report = told["report"]
    assert json.loads(json.dumps(told)) == {
        "run": str(run.wanted),
        "stopped_by": None,
        "base": str(run.wanted / "base"),
        "model": str(run.wanted / "model"),
        "report": report,
        "samples": [{"prompt": "a", "text": "b"}],
        "bits_per_byte": {"bits_per_byte": 1.5},
        "sums": {"before_sft": {"right": 1, "of": 2}, "after_sft": {"right": 1, "of": 2}},
        "bill": told["bill"],
    }
    assert told["bill"]["total"]["tokens"] == 320_000 + 5  # those of the last stage, which has just ended, too
    assert {line["stage"] for line in told["bill"]["lines"]} >= {"data", "evaluate"}
    assert f"Text: {run.text}, " in out
    assert "300 ids" in out
    assert "320,000 tokens to learn from." in out
    assert f"Curves, expert load, samples: {report}, for a browser.\n" in out
    assert out.index("Bill") < out.index("Curves") < out.index("Try next:")
    assert run.given["save"][1:3] == (run.wanted / "base", Path(run.given["make_shards"][1]))


def test_what_a_program_reads_is_alone_on_standard_output(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.go(as_json=True)[0] == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "Try next:" in said.err


def test_a_training_that_is_stopped_says_how_it_goes_on_and_judges_nothing(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run.signal = signal.SIGTERM
    assert run.go() == (143, {"run": str(run.wanted), "stopped_by": "SIGTERM"})
    out = capsys.readouterr().out
    assert f"Stopped by SIGTERM and saved; go on with: {command()} train {run.wanted} --resume" in out
    assert "Try next" not in out
    assert not run.given.keys() & {"save", "load", "show_samples", "show_bits", "show_sums", "write_report"}


@pytest.mark.parametrize(("smoke", "rows", "sums", "most"), [("1", 1, 20, 20_000), ("0", 8, 200, None)])
def test_a_smoke_test_judges_less(
    run: Run, monkeypatch: pytest.MonkeyPatch, smoke: str, rows: int, sums: int, most: int | None
) -> None:
    monkeypatch.setenv("CENTIME_SMOKE", smoke)
    run.go()
    assert run.given["make_recipe"] == (run.wanted, rows)
    assert len(run.given["show_sums"][4]) == sums
    assert run.given["show_bits"][-1] == most


def test_a_ceiling_that_is_none_is_told_before_anything_is_made(run: Run) -> None:
    with pytest.raises(UserError, match="budget"):
        run.go(budget="much")
    assert not run.wanted.exists()
    assert run.given == {}
    run.go(budget="2m")
    assert run.given["Setup"] == ("the recipe", run.wanted, False, "2m", "$1/h")


def test_centime_is_called_by_its_name_where_the_shell_finds_it_and_else_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with contextlib.chdir(tmp_path):
        monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "centime")])
        monkeypatch.setenv("PATH", str(tmp_path))
        assert command() == "bin/centime"
        (tmp_path / "centime").touch(mode=0o755)
        assert command() == "centime"
