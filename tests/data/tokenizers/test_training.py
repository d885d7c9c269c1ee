"""The trainer's process: ended at any moment, gone when it should be, and never more than a sentence."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from centime.data.sources import Sources
from centime.data.tokenizers.bpe import LARGEST, SMALLEST, require_vocabulary, train_tokenizer
from centime.data.tokenizers.training import _ended, train_apart, train_on_sources
from centime.errors import UserError


def test_another_process_trains_the_same_tokenizer() -> None:
    texts = ["the cat the dog the end — é\n" * 3, "", "of a word, 中文 12345"]
    assert train_apart(texts, 320).to_str() == train_tokenizer(texts, 320).to_str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 10**10}, f"10,000,000,000 is beyond any use; expected at most {LARGEST:,}"),
        ({"vocab_size": 10**20}, "beyond any use"),
        ({"vocab_size": -1}, f"-1 cannot hold the 256 bytes .* at least {SMALLEST}"),
        ({"holdout": -1.0}, "--holdout -1.0 is not a share"),
        ({"holdout": float("nan")}, "--holdout nan is not a share"),
        ({"holdout": 2.0}, "--holdout 2.0 is not a share"),
        ({"limit": 0}, "--limit 0: expected at least one byte"),
    ],
)
def test_numbers_are_checked_before_the_work(tmp_path: Path, options: dict[str, float], message: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match=message):
        train_on_sources(Sources([str(tmp_path / "a.txt")]), **({"vocab_size": 300} | options), out=tmp_path / "out")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_ends_of_what_is_accepted(tmp_path: Path) -> None:
    """As docs/tokenizer.md states them."""
    assert (SMALLEST, LARGEST) == (267, 2_097_152)
    for size in (SMALLEST, LARGEST):
        require_vocabulary(size)
    for size in (SMALLEST - 1, LARGEST + 1):
        with pytest.raises(UserError, match=f"A vocabulary of {size:,} "):
            require_vocabulary(size)
    assert train_tokenizer(["a text"], SMALLEST).get_vocab_size() == SMALLEST
    (tmp_path / "a.txt").write_text("text")
    done = train_on_sources(Sources([str(tmp_path / "a.txt")]), SMALLEST, tmp_path / "out", limit=1)
    assert (done.vocab_size, done.documents, done.text_bytes) == (SMALLEST, 1, 4)


def test_a_limit_takes_about_as_much_text_from_all_over(tmp_path: Path) -> None:
    texts = [f"{number} of many small texts\n" for number in range(2000)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number:04d}.txt").write_text(text)
    seen: list[int] = []

    class Bar:
        def show(self, read: int, total: int, text_bytes: int, tokens: int) -> None:
            assert total == sum(map(len, texts))
            seen.append(read)

        def stage(self, title: str) -> None:
            seen.append(-1)

    limit = sum(map(len, texts)) // 10
    sources = Sources([str(tmp_path / "*.txt")])
    done = train_on_sources(sources, SMALLEST, tmp_path / "out", limit=limit, bar=Bar())
    assert 0.8 * limit < done.text_bytes < limit + 40
    assert seen[-1] == -1
    assert seen[:-1] == sorted(seen[:-1])
    assert seen[-2] > 0.75 * sum(map(len, texts)), "from the last ones too"


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "centime.data.tokenizers.training" in p.cmdline()]


def test_a_reader_that_fails_and_a_trainer_that_is_killed() -> None:
    def failing() -> Iterator[str]:
        yield "text"
        raise UserError("a file is damaged")

    with pytest.raises(UserError, match="a file is damaged"):
        train_apart(failing(), 300)

    def killing() -> Iterator[str]:
        yield "text"
        children()[0].kill()
        yield from ["more text " * 100_000] * 50

    with pytest.raises(UserError, match=r"was killed \(signal 9\).*smaller --limit"):
        train_apart(killing(), 300)
    assert not children()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three million letters in words that never come twice: many minutes of merging."""
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=3_000_000)
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text(" ".join("".join(letters[at : at + 12]) for at in range(0, len(letters), 12)))
    return path


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.long) for one in (signal.SIGTERM, signal.SIGKILL))]
)
def test_any_signal_ends_the_merging(words: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "centime", "tokenizer", "train", str(words), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--vocab-size", str(LARGEST), "--holdout", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    parent = psutil.Process(process.pid)
    # all is sent, so it merges or is about to: it has taken a second of processor time since it began to read
    wait_for(lambda: any(sum(child.cpu_times()[:2]) > 2 for child in parent.children()))
    [trainer] = parent.children()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (128 + number, -number)
    wait_for(lambda: not trainer.is_running() or trainer.status() == "zombie", 10)
    assert not (tmp_path / "out").exists()
    assert number == signal.SIGKILL or not list(tmp_path.iterdir()), "what a kill -9 left, the next run removes"


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (-9, "", r"^The process that merges was killed \(signal 9\)"),
        (1, "Traceback\nMemoryError: too much\n", r"could not be trained \(MemoryError: too much\); nothing"),
        (0, " \n", r"could not be trained \(it said nothing\); nothing"),
    ],
)
def test_why_the_trainer_ended_is_said(code: int, said: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        raise _ended(code, said)
