"""One small tokenizer and models over it, which no test changes."""

from __future__ import annotations

import pytest
from tests.small import small_config, small_model, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


@pytest.fixture(scope="session")
def drafting(tokenizer: Tokenizer) -> Transformer:
    """A model whose MTP modules are two, of which serving uses the first."""
    config = small_config(tokenizer.vocab_size, 256).model_copy(update={"num_nextn_predict_layers": 2})
    made = Transformer(config)
    made.init_weights(0)
    return made.eval()
