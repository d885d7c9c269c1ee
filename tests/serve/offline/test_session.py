"""Generation over the latent cache gives what the model gives without one, and ends where it should."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tests.serve.engine.made import Asked, engine, run
from tests.small import small_config, small_model, small_tokenizer

from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.request import Finish as Reason
from centime.serve.engine.request import Finished, Piece, Request, SamplingParams, Usage
from centime.serve.offline.session import ALONE, Finish, GeneratedAnswer, Session, _answer, greedy


def best(max_tokens: int, stop: tuple[str, ...] = ()) -> SamplingParams:
    return SamplingParams(max_tokens, temperature=0, stop=stop)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


def without_cache(model: Transformer, prompt: list[int], count: int, end: int | None) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            token = int(model(torch.tensor([ids]))[0, -1].argmax())
            if token == end:
                break
            ids.append(token)
    return ids[len(prompt) :]


def test_greedy_answers_equal_those_without_a_cache(model: Transformer, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("the cat sat")
    answer = Session(model, tokenizer).answer(prompt, best(20))
    assert answer.tokens == without_cache(model, prompt, 20, tokenizer.eos_id)
    assert answer.text == tokenizer.decode(answer.tokens)


@pytest.mark.parametrize("mtp", [0, 1])
@pytest.mark.parametrize("positions", [2, 3, 15, 16, 17, 31, 33])
def test_a_context_of_any_size_is_filled(tokenizer: Tokenizer, positions: int, mtp: int) -> None:
    """Around the sizes of the cache's blocks, from the smallest that holds a prompt and an answer."""
    model = small_model(tokenizer, positions, mtp=mtp)
    session = Session(model, tokenizer)
    for length in {1, positions - 1}:
        prompt = [5 + i % 7 for i in range(length)]
        expected = without_cache(model, prompt, positions - length, tokenizer.eos_id)
        for _ in range(2):  # the second time out of the cache
            answer = session.answer(prompt, best(64))
            assert answer.tokens == expected
            assert answer.finish in ("context", "end")
    with pytest.raises(UserError, match="one of which the answer needs"):
        session.answer([5] * positions, best(4))
    served = engine(model, tokenizer, blocks=64, block_tokens=32)
    asked = [Asked([5 + i] * (positions - 1), max_tokens=9) for i in range(3)]
    run(served, *asked)
    assert all(len(request.tokens) == 1 and request.end.error is None for request in asked)


def test_a_context_of_one_holds_no_answer(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="the model has one position, and an answer needs two"):
        Session(small_model(tokenizer, 1), tokenizer).answer([5], best(4))


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_hidden_layers": 1, "num_attention_heads": 1, "kv_lora_rank": 1, "qk_nope_head_dim": 1, "v_head_dim": 1},
        {"hidden_size": 1, "intermediate_size": 1, "moe_intermediate_size": 1, "qk_rope_head_dim": 2},
        {"n_routed_experts": 1, "num_experts_per_tok": 1, "n_shared_experts": 0, "first_k_dense_replace": 0},
        {"kv_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 2, "v_head_dim": 2, "vocab_size": 6},
        {"n_routed_experts": None, "q_lora_rank": 1, "num_nextn_predict_layers": 2, "tie_word_embeddings": True},
    ],
)
def test_a_model_of_any_shape_answers(tokenizer: Tokenizer, sizes: dict[str, int | None]) -> None:
    config = ModelConfig.model_validate(small_config(tokenizer.vocab_size, 20).model_dump() | sizes)
    model = Transformer(config)
    model.init_weights(0)
    answer = Session(model.eval(), tokenizer).answer([5, 3, 4], best(9))
    assert answer.tokens == without_cache(model, [5, 3, 4], 9, tokenizer.eos_id)


def test_a_second_turn_reuses_the_cache_and_changes_nothing(model: Transformer, tokenizer: Tokenizer) -> None:
    session = Session(model, tokenizer)
    first_prompt = tokenizer.encode("the cat sat on the mat and the dog ate the hat")
    assert len(first_prompt) > ALONE.block_tokens
    first = session.answer(first_prompt, best(6))
    assert first.reused_tokens == 0
    second_prompt = first_prompt + first.tokens + tokenizer.encode(" dog")
    second = session.answer(second_prompt, best(6))
    computed = len(first_prompt) + len(first.tokens) - 1  # the last token was drawn and never run through the model
    assert second.reused_tokens == computed // ALONE.block_tokens * ALONE.block_tokens > 0
    assert second.tokens == without_cache(model, second_prompt, 6, tokenizer.eos_id)
    other = tokenizer.encode("the hat")
    third = session.answer(other, best(6))
    assert third.tokens == without_cache(model, other, 6, tokenizer.eos_id)
    again = session.answer(other, best(6))
    assert again.reused_tokens < len(other)
    assert again.tokens == third.tokens


def test_a_seed_means_one_answer(model: Transformer, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("the")
    answers = {
        seed: Session(model, tokenizer).answer(prompt, SamplingParams(12, 1.0, 1.0, seed=seed)).tokens
        for seed in range(6)
    }
    assert len({tuple(t) for t in answers.values()}) > 1
    assert Session(model, tokenizer).answer(prompt, SamplingParams(12, 1.0, 1.0, seed=3)).tokens == answers[3]


def test_why_an_answer_ends(model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = tokenizer.encode("the cat sat")
    session = Session(model, tokenizer)
    full = session.answer(prompt, best(12))
    assert (full.finish, len(full.tokens)) == ("max-tokens", 12)

    to_the_brim = session.answer(prompt, best(10_000))
    assert to_the_brim.finish == "context"
    assert len(prompt) + len(to_the_brim.tokens) == session.context

    stop = full.text[3:5]
    stopped = session.answer(prompt, best(12, (stop,)))
    assert (stopped.finish, stopped.text) == ("stop", full.text[: full.text.index(stop)])

    monkeypatch.setattr(tokenizer, "end_ids", frozenset({full.tokens[4]}))
    ended = session.answer(prompt, best(12))
    assert ended.finish == "end"
    assert ended.tokens == full.tokens[: full.tokens.index(full.tokens[4])]


def test_pieces_are_written_as_they_come(model: Transformer, tokenizer: Tokenizer) -> None:
    pieces: list[str] = []
    answer = Session(model, tokenizer).answer(tokenizer.encode("the"), best(15), write=pieces.append)
    assert "".join(pieces) == answer.text
    assert len(pieces) > 1
    assert all(pieces)


def test_ctrl_c_ends_the_answer_and_keeps_what_came(model: Transformer, tokenizer: Tokenizer) -> None:
    pieces: list[str] = []

    def write(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    session = Session(model, tokenizer)
    prompt = tokenizer.encode("the cat")
    answer = session.answer(prompt, best(30), write=write)
    assert answer.finish == "interrupted"
    assert answer.text.startswith("".join(pieces[:3]))
    after = session.answer(prompt, best(5))
    assert after.tokens == without_cache(model, prompt, 5, tokenizer.eos_id)


def test_a_batch_of_greedy_answers_equals_one_by_one(model: Transformer, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode(t) for t in ("the cat", "the dog ate", "hat", "cat", "the mat and the dog", "on the")]
    expected = [without_cache(model, p, 9, tokenizer.eos_id) for p in prompts]
    for batch_size in (1, 2, 64):
        assert greedy(model, tokenizer, prompts, max_tokens=9, batch_size=batch_size) == expected
    ending = copy.copy(tokenizer)
    ending.__dict__["end_ids"] = frozenset({expected[0][3]})
    assert greedy(model, ending, prompts[:1], max_tokens=9) == [expected[0][: expected[0].index(expected[0][3])]]


def test_bad_prompts_get_a_sentence(model: Transformer, tokenizer: Tokenizer) -> None:
    session = Session(model, tokenizer)
    with pytest.raises(UserError, match="shorten the prompt"):
        session.answer([5] * session.context, best(1))
    with pytest.raises(UserError, match="no token"):
        session.answer([], best(1))
    with pytest.raises(UserError, match="max_tokens is 0"):
        session.answer([5], best(0))
    with pytest.raises(UserError, match="this model knows"):
        session.answer([model.config.vocab_size], best(1))
    with pytest.raises(UserError, match="positions"):
        greedy(model, tokenizer, [[5] * 60], max_tokens=10)
    with pytest.raises(UserError, match="a prompt is empty"):
        greedy(model, tokenizer, [[5], []], max_tokens=1)
    expected = without_cache(model, [5] * 54, 10, tokenizer.eos_id)
    assert greedy(model, tokenizer, [[5] * 54], max_tokens=10) == [expected]
    assert greedy(model, tokenizer, [], max_tokens=10) == []


@pytest.mark.parametrize(
    ("reason", "most", "finish"),
    [("end", 9, "end"), ("stop", 9, "stop"), ("length", 3, "max-tokens"), ("length", 9, "context")],
)
def test_the_figures_of_an_answer_are_those_of_its_events(reason: Reason, most: int, finish: Finish) -> None:
    second = 10**9
    request = Request([5] * 7, SamplingParams(most), lambda event: None)
    usage = Usage(7, 4, 3, second, second // 2, 2 * second, 5 * second, drafted_tokens=6, accepted_tokens=2)
    events = [Piece("ab", (1, 2)), Piece("c", (3,)), Finished(reason, usage)]
    assert _answer(request, events) == GeneratedAnswer("abc", [1, 2, 3], 7, 4, finish, 1.5, 3.0, 6, 2)
    stopped = GeneratedAnswer("ab", [1, 2], 7, 0, "interrupted", 0.0, 0.0, 0, 0)
    assert _answer(request, events[:1]) == _answer(request, [events[0], events[2]], interrupted=True) == stopped
    with pytest.raises(UserError, match="why"):
        _answer(request, [Finished("failed", usage, error="why")])


def test_the_weights_of_any_dtype_generate(tokenizer: Tokenizer) -> None:
    model = small_model(tokenizer).to(torch.bfloat16)
    answer = Session(model, tokenizer).answer(tokenizer.encode("the"), best(5))
    assert len(answer.tokens) == 5 or answer.finish == "end"


def test_the_folder_fixture_has_a_chat_template(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = tokenizer.render_chat([{"role": "user", "content": "1 + 1"}], add_generation_prompt=True)
    assert tokenizer.decode(tokenizer.encode(text)) == text
