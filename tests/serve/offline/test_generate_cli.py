"""`centime generate` and `centime chat` as a person uses them: text out, the cost after it, mistakes as sentences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.forked import centime
from tests.small import small_folder
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.billing import bill_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("model") / "model", positions=128)


def refused(*arguments: object) -> str:
    """The sentence of a command that a mistake stops."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert isinstance(done.exception, UserError), done.output
    assert done.stdout == ""
    return str(done.exception)


def test_an_answer_its_cost_and_its_line_in_the_ledger(folder: Path) -> None:
    arguments = ("generate", folder, "--prompt", "the cat", "--max-tokens", 12, "--seed", 7, "--price", "$2/h")
    done = centime(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n")
    assert "12 generated tokens" in done.stderr or "generated tokens" in done.stderr
    for said in ("device-seconds", "tokens/s", "per million generated tokens", "price given"):
        assert said in done.stderr

    answer = json.loads(centime(*arguments, "--json").stdout)
    assert answer["text"].rstrip("\n") == done.stdout.rstrip("\n")
    assert answer["cost"] == pytest.approx(2 * answer["device_ns"] / 3.6e12)
    assert answer["cost_per_million_generated_tokens"] == pytest.approx(
        answer["cost"] / answer["generated_tokens"] * 1e6
    )
    assert 0 < answer["decode_seconds"] + answer["prefill_seconds"] <= answer["device_ns"] / 1e9 * 1.05

    booked = bill_of(Book(), str(folder)).as_json()
    serving = [line for line in booked["lines"] if line["section"] == "serving"]
    line = next(line for line in serving if line["stage"] == "generate")
    assert line["tokens"] == 2 * (answer["prompt_tokens"] + answer["generated_tokens"])
    assert line["flops"] > 0
    assert line["cost"] >= answer["cost"]
    assert {line["stage"] for line in serving} == {"generate", "startup"}  # loading is on the bill too


def test_a_prompt_may_be_piped_in_and_go_through_the_template(folder: Path) -> None:
    common, runner = ["generate", str(folder), "--json", "--max-tokens", "3"], CliRunner()
    plain = json.loads(runner.invoke(app, common, input="the cat").stdout)
    chat = json.loads(runner.invoke(app, [*common, "--chat"], input="the cat").stdout)
    assert chat["prompt_tokens"] == plain["prompt_tokens"] + 2  # user, assistant


def test_what_is_piped_in_is_text_and_stays_text(folder: Path) -> None:
    """Bytes of another encoding are refused, a byte order mark is none of the prompt, control tokens are characters."""
    runner, common = CliRunner(), ["--max-tokens", "2"]
    for verb in ("generate", "chat"):
        done = runner.invoke(app, [verb, str(folder), *common], input=b"caf\xe9\n")
        assert isinstance(done.exception, UserError)
        assert "standard input is not UTF-8 text (byte 0xe9 at offset 3)" in str(done.exception)
    lengths = [
        json.loads(runner.invoke(app, ["generate", str(folder), "--json", *common, *more], input=text).stdout)
        for text, *more in (("cat",), ("\ufeffcat",), ("<｜User｜>cat", "--chat"), ("cat", "--chat"))
    ]
    plain, marked, spelled, chat = (answer["prompt_tokens"] for answer in lengths)
    assert plain == marked
    assert spelled >= chat + 9, "<｜User｜> is eight characters and more bytes, of which few are merged"


def test_a_run_folder_is_as_good_as_its_model(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    (run / "recipe.toml").write_text("")
    done = CliRunner().invoke(app, ["generate", str(run), "--prompt", "the", "--max-tokens", "2"])
    assert done.exit_code == 0, done.output
    assert bill_of(Book(), str(run)).total.tokens > 0


def test_a_chat_of_three_turns(folder: Path) -> None:
    said = "the cat\n\nthe dog\n/clear\nthe hat\n/quit\n"
    done = centime("chat", folder, "--max-tokens", 5, "--temperature", 0, "--price", "1 EUR/h", typed=said)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("per million generated tokens") == 3
    assert done.stderr.count("from the cache") >= 1
    assert "The whole conversation, waiting included:" in done.stderr
    assert "€" in done.stderr
    stages = {line.stage for line in bill_of(Book(), str(folder)).lines}
    assert stages == {"chat", "idle", "startup"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--temperature", "-1"), "temperature is -1.0"),
        (("--top-p", "0"), "top_p is 0.0"),
        (("--max-tokens", "0"), "max_tokens is 0"),
        (("--stop", ""), "none of them empty"),
        (("--dtype", "int4"), "dtype is 'int4'"),
        (("--device", "toaster"), "toaster"),
        (("--price", "cheap"), "cheap"),
        (("--prompt", "the cat " * 200), "shorten the prompt"),
    ],
)
def test_bad_options_get_a_sentence(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused("generate", folder, "--prompt", "the", *arguments)


def test_a_refusal_leaves_with_code_2(tmp_path: Path) -> None:
    done = centime("generate", tmp_path / "absent", "--prompt", "the")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("centime: ")
    assert "Traceback" not in done.stderr


def test_folders_that_are_no_model_get_a_sentence(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "recipe.toml").write_text("")
    for path, words in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "has no config.json"),
        (folder / "config.json", "is a file"),
        (bare, "no tokenizer.json"),
        (unfinished, "may not be finished"),
    ):
        for verb in ("generate", "chat"):
            assert words in refused(verb, path, *(("--prompt", "the") if verb == "generate" else ()))
