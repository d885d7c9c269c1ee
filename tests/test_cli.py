"""The command line as a person meets it: every verb answers, the light ones at once, and a mistake gets a sentence."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from tests import forked

import centime as centime_package
from centime.cli import VERBS

LIGHT = ["bill", "model", "plan"]  # the verbs that need no torch
CLI = Path(__file__).resolve().parents[1] / "src" / "centime" / "cli"


def centime(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "centime", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_version() -> None:
    done = centime("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"centime {importlib.metadata.version('centime')}")
    assert centime_package.__version__ == importlib.metadata.version("centime")
    with pytest.raises(AttributeError, match="no attribute 'weights'"):
        _ = centime_package.weights


def test_without_arguments_it_lists_every_verb() -> None:
    done = centime()
    listed = done.stdout + done.stderr
    assert [verb for verb in VERBS if verb not in listed] == []


def test_every_file_is_a_verb_and_every_verb_a_file() -> None:
    files = {path.stem for path in CLI.iterdir() if not path.name.startswith("_")}
    assert files - {"program"} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = forked.centime(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: centime {verb}" in done.stdout
    assert "--help" in done.stdout


def test_help_of_no_verb_waits_for_torch() -> None:
    program = (
        "import sys\n"
        "from centime.cli import app\n"
        f"for verb in {list(VERBS)}:\n"
        "    app([verb, '--help'], standalone_mode=False)\n"
        "    heavy = {'torch', 'numpy', 'transformers', 'pyarrow'} & set(sys.modules)\n"
        "    print(*([verb, *sorted(heavy)] if heavy else []), file=sys.stderr, end='')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage: ") == len(VERBS)


def test_a_misspelt_verb_gets_the_nearest_one() -> None:
    done = centime("trian")
    assert done.returncode == 2
    assert "Did you mean 'train'?" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "no-such-recipe.toml"],
        ["generate", "no-such-model", "--prompt", "hello"],
        ["chat", "no-such-model"],
        ["model", "show", "no-such-model"],
        ["bill", "no-such-run"],
    ],
    ids=" ".join,
)
def test_what_does_not_exist_gets_a_sentence_that_names_it(arguments: list[str]) -> None:
    done = forked.centime(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "no-such-" in done.stderr
