"""What the quickstart shows of its model, on one small enough to be made anew: samples, bits, sums, what they took."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.small import small_folder

from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.evaluate.arithmetic import sums
from centime.ledger import Book, Meter
from centime.ledger.billing import bill_of
from centime.ledger.device import this_device
from centime.model import Transformer
from centime.model.checkpoint import load
from centime.quickstart.corpus import Corpus
from centime.quickstart.quickstart import PROMPTS, show_bits, show_samples, show_sums


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("quick") / "model", positions=128)


@pytest.fixture(scope="module")
def model(folder: Path) -> Transformer:
    return load(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def booked(tmp_path: Path, of: Callable[[Console, Meter], Any]) -> tuple[Any, str, int]:
    """(what it returns, what it prints, the tokens that it books)."""
    out = Console(file=io.StringIO(), width=100)
    with Book(tmp_path / "book.sqlite") as book:
        with Meter(book, run="quick", verb="quickstart", stage="generate", device=this_device()) as meter:
            found = of(out, meter)
        tokens = bill_of(book, "quick").total.tokens
    return found, out.file.getvalue(), tokens  # type: ignore[attr-defined]


def test_a_sample_of_each_prompt_is_shown_and_all_its_tokens_are_booked(
    tmp_path: Path, model: Transformer, tokenizer: Tokenizer
) -> None:
    found, said, tokens = booked(tmp_path, lambda out, meter: show_samples(out, model, tokenizer, meter))
    assert " What it writes, before sft " in said.splitlines()[0]
    assert [one["prompt"] for one in found] == list(PROMPTS)
    assert all(one["prompt"].strip().splitlines()[0] in said for one in found)
    prompts = sum(len(tokenizer.encode(prompt)) + (tokenizer.bos_id is not None) for prompt in PROMPTS)
    assert prompts < tokens <= prompts + 48 * len(PROMPTS)
    again, _, _ = booked(tmp_path / "again", lambda out, meter: show_samples(out, model, tokenizer, meter))
    assert again == found  # whoever repeats a quickstart reads the same


@pytest.mark.parametrize(("most", "taken"), [(None, 3), (700, 2), (699, 1), (100, 1)])
def test_bits_are_of_the_files_that_there_is_room_for_and_of_one_at_least(
    tmp_path: Path, folder: Path, model: Transformer, tokenizer: Tokenizer, most: int | None, taken: int
) -> None:
    files = [tmp_path / f"{at}.txt" for at in range(3)]
    for path, size in zip(files, (300, 400, 500), strict=True):
        path.write_text("the cat " * (size // 8) + "x" * (size % 8))
    corpus = Corpus(tmp_path, [], files)
    found, said, tokens = booked(
        tmp_path, lambda out, meter: show_bits(out, model, tokenizer, corpus, folder, meter, most)
    )
    assert found.as_json()["bytes"] == sum((300, 400, 500)[:taken])
    assert found.as_json()["documents"] == taken
    assert tokens == found.model.computed_tokens
    assert " How well it predicts code it has not seen, before sft " in said.splitlines()[0]
    assert "gzip" in said


def test_sums_are_asked_before_and_after(tmp_path: Path, model: Transformer, tokenizer: Tokenizer) -> None:
    problems = sums("test", 4, 99)
    found, said, tokens = booked(tmp_path, lambda out, meter: show_sums(out, model, model, tokenizer, problems, meter))
    assert {name: one.total for name, one in found.items()} == {"before_sft": 4, "after_sft": 4}
    assert tokens == sum(one.prompt_tokens + one.generated_tokens for one in found.values())
    assert " Sums of two numbers up to 99 that it has not seen " in said.splitlines()[0]
    examples, after, _ = said.partition("For example: ")[2].partition("Sums are now all it knows")
    assert after, "what became of the rest is said"
    assert [one.prompt for one in problems if f"{one.prompt} = " in examples] == [one.prompt for one in problems[:3]]
    assert examples.count(" (it is ") == sum(got != expected for _, expected, got in found["after_sft"].examples[:3])
