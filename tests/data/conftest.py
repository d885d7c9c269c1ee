"""A small tokenizer trained on real code, shared by the room's tests."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 600 ids, trained on two modules of the standard library."""
    out = tmp_path_factory.mktemp("tokenizer") / "tok"
    texts = [Path(str(module.__file__)).read_text("utf-8") for module in (argparse, json)]
    write_tokenizer(train_tokenizer(texts, 600), out)
    return out


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_folder)
