"""One vocabulary for all of these tests."""

from __future__ import annotations

import pytest
from tests.serve.grammar.drawing import WIDTH
from tests.small import small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.serve.grammar.constraint import Grammars


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


@pytest.fixture(scope="session")
def grammars(tokenizer: Tokenizer) -> Grammars:
    return Grammars(tokenizer, WIDTH)
