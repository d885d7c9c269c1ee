"""Every help: complete, with examples that parse, under -h too; and what near misses get."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer
from tests.cli.verbs import commands

from centime.cli import app
from centime.cli.program.ending import run
from centime.cli.program.examples import EXAMPLES
from centime.serve.engine.settings import EngineSettings

COMMANDS = dict(commands())


def parsed(words: list[str]) -> None:
    """The words through the parser, down to the verb's own arguments; nothing is run."""
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "list_commands"):
        context = command.context_class(command, info_name="centime", parent=context)
        command, words = command.get_command(context, words[0]), words[1:]
    command.make_context("verb", words, parent=context)


def test_every_verb_has_examples_and_no_other_has() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_parses(example: str) -> None:
    words = shlex.split(example)
    if "|" in words:
        words = words[words.index("|") + 1 :]
    assert words[0] == "centime"
    parsed(words[1:])


@pytest.mark.parametrize("verb", COMMANDS)
def test_short_help_shows_the_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "-h"]) == 0
    shown = capsys.readouterr().out
    assert all(" ".join(line.split()) in " ".join(shown.split()) for line in EXAMPLES[verb])


@pytest.mark.parametrize("group", ["budgets", "catalogue", "data", "keys", "model", "tokenizer", "plan", "users"])
def test_no_summary_is_cut_short_and_completion_is_the_whole_programs(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([group, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "..." not in shown.partition("Verbs:")[2]
    assert "-completion" not in shown


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["version"], "`centime --version` prints it"),
        (["eval"], "Did you mean 'evaluate'?"),
        (["finetune", "x"], "docs/train.md"),
        (["data", "prep"], "Did you mean 'prepare'?"),
        (["plan", "trian"], "Did you mean 'train'?"),
        (["zzz"], "`centime --help` lists them"),
        (["serve", "x", "--port", "70000"], "'--port'"),
        (["generate", "x", "--no-such"], "--no-such"),
        (["data", "prepare"], "'sources'"),
    ],
)
def test_a_near_miss_gets_one_sentence(words: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    said = capsys.readouterr()
    assert answer in said.err
    assert (said.out, said.err.count("\n"), said.err[:9]) == ("", 1, "centime: ")


def test_the_engines_defaults_are_the_commands() -> None:
    """The parser shows them, and so repeats them: a cold start must not load the engine for its help."""
    settings = EngineSettings()
    shown = {option.name: option.default for option in COMMANDS["serve"].params}
    assert (shown["step_tokens"], shown["max_running"]) == (settings.step_tokens, settings.max_running)
    assert (shown["max_queue"], shown["disk_size"]) == (settings.max_waiting, settings.disk_bytes / 2**30)
