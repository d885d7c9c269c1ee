"""Greedy answers are what brute force gives, whatever shares the batch, the chunks and the cache; the clock adds up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_config, small_tokenizer

from centime.data.tokenizer import Tokenizer
from centime.model import Transformer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def made_model(tokenizer: Tokenizer, **changes: object) -> Transformer:
    config = small_config(tokenizer.vocab_size, positions=256)
    model = Transformer(config.model_copy(update=changes))
    model.init_weights(1)
    return model.eval()


@pytest.fixture(scope="module", params=["mla", "mtp", "plain"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    changes: dict[str, dict[str, object]] = {
        "mla": {},
        "mtp": {"num_nextn_predict_layers": 1},
        "plain": {"kv_lora_rank": None, "qk_nope_head_dim": 0, "v_head_dim": 8, "n_routed_experts": None},
    }
    return made_model(tokenizer, **changes[request.param])


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_answers_are_those_of_brute_force(model: Transformer, tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Random prompts, many with a beginning in common, in small caches, small steps, twice over (hits)."""
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    served = engine(
        model,
        tokenizer,
        step_tokens=data.draw(st.sampled_from([1, 3, 8, 64])),
        blocks=data.draw(st.sampled_from([24, 40, 64])),
        max_running=data.draw(st.sampled_from([1, 3, 16])),
        block_tokens=data.draw(st.sampled_from([1, 4])) if data.draw(st.booleans()) else 4,
    )
    common = [draw.randrange(tokenizer.vocab_size) for _ in range(20)]
    prompts = []
    for _ in range(data.draw(st.integers(1, 5))):
        shared = draw.randrange(len(common) + 1)
        prompts.append(common[:shared] + [draw.randrange(tokenizer.vocab_size) for _ in range(draw.randrange(1, 9))])
    prompts = [prompt[: served.context - 8] for prompt in prompts]
    asked = [Asked(prompt, max_tokens=6, owner=draw.choice("ab")) for prompt in prompts + prompts]
    run(served, *asked)
    for request in asked:
        assert request.tokens == brute_force(model, request.prompt, 6)
        assert request.end.reason == "length"
        assert request.end.usage.output_tokens == 6
