"""A prepared corpus with a tokenizer and pairs, made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.made import write_recipe

from centime.data.shards.prepare import prepare
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/, holdout/, tokenizer/ and pairs.jsonl, from some modules of the standard library."""
    folder = tmp_path_factory.mktemp("corpus")
    files = sorted(Path(json.__file__).parent.glob("*.py"))
    texts = [file.read_text("utf-8") for file in files]
    write_tokenizer(train_tokenizer(texts, 400), folder / "tok")
    prepare([str(file) for file in files], folder / "tok", folder / "out", holdout=0.4)
    out = folder / "out"
    pairs = [{"prompt": f"{a} + {b} =", "answer": str(a + b)} for a in range(6) for b in range(4)]
    (out / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return out


@pytest.fixture(scope="module")
def small(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe over the corpus."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), corpus)
