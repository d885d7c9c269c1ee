"""How much memory the engine's cache takes: what it is given, and no more than its requests can fill."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import engine
from tests.small import small_config, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.kv_cache.paged_cache import Pages


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return Transformer(small_config(tokenizer.vocab_size, positions=256))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 4), st.sampled_from([1, 4, 16]), st.integers(0, 1000))
def test_blocks_are_those_that_the_memory_holds_and_that_requests_can_fill(
    model: Transformer, tokenizer: Tokenizer, held: int, running: int, size: int, odd: int
) -> None:
    each = Pages.token_bytes(model.config, model.head_weight.dtype) * size
    room = max(1, held * each + min(odd, each - 1))  # none given: what is free
    full = max(2, running * -(-model.config.max_position_embeddings // size))
    if held < 2:
        with pytest.raises(UserError, match=f"a cache of {room:,} bytes holds no two blocks of {size} tokens"):
            engine(model, tokenizer, cache_bytes=room, block_tokens=size, max_running=running)
        return
    served = engine(model, tokenizer, cache_bytes=room, block_tokens=size, max_running=running)
    stats = served.stats()
    assert (stats.blocks, stats.blocks_used, stats.block_tokens) == (min(held, full), 0, size)
    assert stats.cache_bytes == (stats.blocks + 1) * each  # one more is scratch
    assert served.context == min(model.config.max_position_embeddings, stats.blocks * size)
