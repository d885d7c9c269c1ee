"""What the training needs, made from the corpus: tokenizer, shards, sums, and the recipe that names them."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

from centime import recipe as recipes
from centime.data.bpe import train_on_sources
from centime.data.prepare import prepare
from centime.evaluate.arithmetic import Sum, sums
from centime.quickstart.corpus import Corpus
from centime.recipe import Recipe

VOCABULARY = 4096
TOP = 99  # the sums are of two numbers from 0 to here
TRAIN_SUMS, TEST_SUMS = 8000, 200


def make_tokenizer(corpus: Corpus, folder: Path) -> Path:
    """A byte-level BPE of the training files in folder/tokenizer. Raises UserError on a full disk."""
    out = folder / "tokenizer"
    train_on_sources([str(path) for path in corpus.train], VOCABULARY, out, overwrite=True)
    return out


def make_shards(corpus: Corpus, tokenizer: Path, folder: Path) -> tuple[int, int]:
    """Shards of both halves in folder/data; (training, held-out) tokens. Raises UserError on a full disk."""
    made = []
    for name, files in (("train", corpus.train), ("held_out", corpus.held_out)):
        done = prepare([str(path) for path in files], tokenizer, folder / "data" / name, overwrite=True)
        made.append(done.tokens)
    return made[0], made[1]


def make_sums(folder: Path) -> list[Sum]:
    """Sums to train on in folder/sums.jsonl; returned are others, which no training sum repeats or mirrors."""
    lines = [json.dumps({"prompt": one.prompt, "answer": one.answer}) for one in sums("train", TRAIN_SUMS, TOP)]
    (folder / "sums.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sums("test", TEST_SUMS, TOP)


def make_recipe(folder: Path, evaluate_rows: int) -> Recipe:
    """The quickstart's recipe with its paths in `folder`."""
    text = resources.files("centime.quickstart").joinpath("recipe.toml").read_text(encoding="utf-8")
    settings = [f"run.evaluate_rows={evaluate_rows}"]
    return recipes.parse(text.replace("{folder}", folder.as_posix()), settings, where="the quickstart's recipe")


def free_folder(wanted: Path) -> Path:
    """`wanted`, or wanted-2, wanted-3, ... where a run is there already: no run is ever overwritten."""
    number, folder = 1, wanted
    while folder.exists() and any(os.scandir(folder)):
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder
