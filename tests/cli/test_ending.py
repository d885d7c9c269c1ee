"""How a verb ends, where no verb's own tests look: before it begins, and in what a terminal is shown."""

from __future__ import annotations

import pytest

from centime.cli._ending import run


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
