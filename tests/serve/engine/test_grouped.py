"""Grouped queries behind the engine: what it answers is what the model by itself says, whatever the pages hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.serve.engine.made import Asked, engine, run
from tests.small import small_grouped_model, small_tokenizer

from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.model.packed import pack_weights
from centime.native.library import library


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 1, "qk_norm": False, "qkv_bias": True},
        {"num_attention_heads": 6, "num_key_value_heads": 3, "rope_scaling": {"rope_type": "llama3"}},
    ],
    ids=["Qwen3", "Qwen2, one key head", "Llama"],
)
def test_greedy_answers_are_the_model_s_own(changes: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Alone, in company of other lengths, and from the prefix cache."""
    model = small_grouped_model(tokenizer, positions=128, seed=3, **changes)
    prompts = [[(7 * i + j) % tokenizer.vocab_size for j in range(length)] for i, length in enumerate((40, 3, 17, 40))]
    served = engine(model, tokenizer, step_tokens=16)
    first = [Asked(prompt, logprobs=1, max_tokens=6, ignore_eos=True) for prompt in prompts]
    again = [Asked(prompt, logprobs=1, max_tokens=6, ignore_eos=True) for prompt in prompts]
    run(served, *first)
    run(served, *again)
    for prompt, one, other in zip(prompts, first, again, strict=True):
        for asked in (one, other):
            ids, found = list(prompt), [event for piece in asked.events[:-1] for event in piece.logprobs]  # type: ignore[union-attr]
            assert len(found) == 6
            for event in found:
                with torch.no_grad():
                    expected = model(torch.tensor([ids]))[0, -1, : tokenizer.vocab_size].log_softmax(-1)
                assert event.token == int(expected.argmax())
                assert event.logprob == pytest.approx(float(expected.max()), abs=1e-3)
                ids.append(event.token)


def test_packed_matrices_answer_alike(tokenizer: Tokenizer) -> None:
    """bf16 in panels against the same numbers in float32."""
    if library() is None:
        pytest.skip("no kernels here")
    plain = small_grouped_model(tokenizer, positions=128, qkv_bias=True).bfloat16().float()
    packed = pack_weights(small_grouped_model(tokenizer, positions=128, qkv_bias=True).bfloat16())
    prompt = list(range(20))
    one, other = (Asked(prompt, logprobs=1, max_tokens=1, ignore_eos=True) for _ in range(2))
    run(engine(plain, tokenizer), one)
    run(engine(packed, tokenizer), other)
    (mine,), (theirs,) = ([e for piece in asked.events[:-1] for e in piece.logprobs] for asked in (one, other))  # type: ignore[union-attr]
    assert theirs.logprob == pytest.approx(mine.logprob, abs=0.1)


def test_an_answer_ends_at_every_token_that_generation_config_names(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Llama 3 and Qwen list the end of a turn and that of a document there."""
    folder = shutil.copytree(tokenizer.folder, tmp_path / "named")
    model = small_grouped_model(tokenizer, positions=128, seed=3)
    usual = Asked([5, 6, 7], max_tokens=8)
    run(engine(model, tokenizer), usual)
    end = usual.tokens[2]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [tokenizer.eos_id, end]}))
    ended = Asked([5, 6, 7], max_tokens=8, ignore_eos=False)
    run(engine(model, load_tokenizer(folder)), ended)
    assert ended.tokens == usual.tokens[: usual.tokens.index(end)]
    assert ended.end.reason == "end"
