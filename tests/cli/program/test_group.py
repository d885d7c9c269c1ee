"""The parser before any verb: words that are no verb, and arguments that are empty."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from centime.cli import app
from centime.cli.program.ending import run
from centime.errors import UserError


def parsed(*words: str) -> dict[str, Any]:
    """What a verb's arguments come to; nothing is run."""
    command: Any = typer.main.get_command(app)
    context, left = None, list(words)
    while hasattr(command, "list_commands"):
        context = command.context_class(command, info_name="centime", parent=context)
        command, left = command.get_command(context, left[0]), left[1:]
    found: dict[str, Any] = command.make_context("verb", left, parent=context).params
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pl"], "'pl' is not a verb of `centime`. Did you mean 'plan'? `centime --help` lists them."),
        (["p"], "'p' is not a verb of `centime`. `centime --help` lists them."),
        (
            ["plan", "se"],
            "'se' is not a verb of `centime plan`. Did you mean 'serve'? `centime plan --help` lists them.",
        ),
        (["trian"], "'trian' is not a verb of `centime`. Did you mean 'train'? `centime --help` lists them."),
        (["finetune"], "'finetune' is not a verb of `centime`. "),
    ],
)
def test_a_word_that_is_no_verb(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert capsys.readouterr().err.startswith(f"centime: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["tokenizer", "show", ""],
            "folder is empty; give the path of a file or folder ('.' is the folder you are in).",
        ),
        (["model", "show", ""], "name is empty; give a value."),
        (["data", "prepare", "a", "", "--tokenizer", "t", "--out", "o"], "sources is empty; give a value."),
        (["data", "prepare", "a", "--tokenizer", "", "--out", "o"], "--tokenizer is empty; give the path"),
    ],
)
def test_what_is_needed_or_a_path_is_not_empty(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        parsed(*words)
    assert str(refused.value).startswith(said)


def test_a_text_that_may_be_left_out_may_be_empty() -> None:
    assert parsed("tokenizer", "show", "folder", "")["text"] == ""
    assert parsed("tokenizer", "show", "folder")["text"] is None
    assert str(parsed("tokenizer", "show", "folder", "a")["folder"]) == "folder"
