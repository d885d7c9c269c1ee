"""What the training needs, made from the corpus: tokenizer, shards, sums, and the recipe that names them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from centime import recipe as recipes
from centime.data.shards.prepare import prepare
from centime.data.sources import Sources
from centime.data.tokenizers.training import train_on_sources
from centime.errors import UserError
from centime.evaluate.arithmetic import Sum, sums
from centime.files.durable import write_text
from centime.files.lock import INSIDE, InUse
from centime.quickstart.corpus import Corpus
from centime.recipe import Recipe
from centime.train.folder import RunFolder

VOCABULARY = 4096
TOP = 99  # the sums are of two numbers from 0 to here
TRAIN_SUMS, TEST_SUMS = 8000, 200


def make_tokenizer(corpus: Corpus, folder: Path) -> Path:
    """A byte-level BPE of the training files in folder/tokenizer. Raises UserError on a full disk."""
    out = folder / "tokenizer"
    train_on_sources(Sources([str(path) for path in corpus.train]), VOCABULARY, out, overwrite=True)
    return out


def make_shards(corpus: Corpus, tokenizer: Path, folder: Path) -> tuple[int, int]:
    """Shards of both halves in folder/data; (training, held-out) tokens. Raises UserError on a full disk."""
    made = []
    for name, files in (("train", corpus.train), ("held_out", corpus.held_out)):
        done = prepare(Sources([str(path) for path in files]), tokenizer, folder / "data" / name, overwrite=True)
        made.append(done.tokens)
    return made[0], made[1]


def make_sums(folder: Path) -> list[Sum]:
    """Sums to train on in folder/sums.jsonl; returned are others, which no training sum repeats or mirrors."""
    lines = [json.dumps({"prompt": one.prompt, "answer": one.answer}) for one in sums("train", TRAIN_SUMS, TOP)]
    write_text(folder / "sums.jsonl", "\n".join(lines) + "\n")
    return sums("test", TEST_SUMS, TOP)


def make_recipe(folder: Path, evaluate_rows: int) -> Recipe:
    """The quickstart's recipe with its paths in `folder`."""
    text = resources.files("centime.quickstart").joinpath("recipe.toml").read_text(encoding="utf-8")
    settings = [f"run.evaluate_rows={evaluate_rows}"]
    return recipes.parse(text.replace("{folder}", folder.as_posix()), settings, where="the quickstart's recipe")


@contextlib.contextmanager
def free_folder(wanted: Path) -> Iterator[Path]:
    """`wanted`, or wanted-2, wanted-3, ... where there is something already: nothing is ever overwritten.

    Nobody else writes there meanwhile. Raises UserError where it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        for number in itertools.count(1):
            folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            if _taken(folder):
                continue
            with contextlib.ExitStack() as attempt, contextlib.suppress(InUse):
                attempt.enter_context(RunFolder(folder).held())
                if not _taken(folder):
                    stack.enter_context(attempt.pop_all())
                    break
        try:
            yield folder
        except UserError:
            if not RunFolder(folder).begun:  # of what can be made anew in seconds nothing stays
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _taken(folder: Path) -> bool:
    return folder.exists() and any(name != INSIDE for name in os.listdir(folder))
