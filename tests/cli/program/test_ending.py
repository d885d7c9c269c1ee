"""How a verb ends, where no verb's own tests look: before it begins, and in what a terminal is shown."""

from __future__ import annotations

import pytest

from centime.cli.program.ending import FAULT, ending, run
from centime.cli.program.streams import OUTPUT


@pytest.mark.parametrize("mark", ["\x1b[31m", "\r", "\x07", "\x9b2J", "\u202e"])
def test_a_name_cannot_move_the_cursor(mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", f"no{mark}where"]) == 2
    said = capsys.readouterr().err
    assert mark[0] not in said
    assert repr(mark)[1:-1] in said


def test_a_book_that_fails_before_the_verb_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(verb: str) -> None:
        raise PermissionError(13, "Permission denied", "ledger")

    monkeypatch.setattr("centime.ledger.life.begin", refuse)
    assert run(["data", "show", "x"], metered=True) == 2
    assert capsys.readouterr().err == "centime: 'ledger' cannot be used: permission denied.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "m", "--prompt", "a", "--temperature", "nan"], "--temperature is nan; give a number from 0 to 2"),
        (["generate", "m", "--prompt", "a", "--max-tokens", "-1"], "--max-tokens is -1; give a number"),
        (["generate", "m", "--prompt", "a", "--stop", ""], "--stop is given an empty text"),
        (["plan", "compare", "--gpu=h800", "--date=", "--json"], "--date is given an empty text"),
        (
            ["data", "prepare", "t", "--tokenizer", "m", "--out", "o", "--separator", ""],
            "--separator is given an empty text",
        ),
        (["data", "show", "no\nwhere"], r"no\nwhere"),
    ],
)
def test_a_sentence_speaks_of_what_was_typed(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    sentence = capsys.readouterr().err
    assert said in sentence
    assert sentence.count("\n") == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 5 GB")])
def test_no_memory_is_a_sentence(error: Exception) -> None:
    code, sentence = ending(error, ["serve", "model"])
    assert code == 2
    assert "needs more memory than this process may take" in sentence
    assert ending(RuntimeError("shapes differ"), ["serve", "model"])[0] == FAULT


@pytest.mark.parametrize(
    ("code", "before", "expected"),
    [
        (None, None, (0, "")),
        (0, None, (0, "")),
        (3, None, (3, "")),
        ("gone", None, (1, "gone")),
        (1, BrokenPipeError(), (141, "")),  # rich, whose reader has left
    ],
)
def test_an_exit_is_as_the_interpreter_reads_it(
    code: int | str | None, before: Exception | None, expected: tuple[int, str]
) -> None:
    left = SystemExit(code)
    left.__context__ = before
    assert ending(left, ["serve"]) == expected


def test_an_interruption_and_a_reader_that_leaves_end_as_signals_do() -> None:
    assert ending(KeyboardInterrupt(), ["serve"]) == (130, "interrupted.")
    assert ending(BrokenPipeError(32, "Broken pipe", OUTPUT), ["serve"]) == (141, "")
    assert ending(BrokenPipeError(32, "Broken pipe"), ["serve"])[0] == 2
