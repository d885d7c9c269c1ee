"""Generation over the latent cache gives what the model gives without one, and ends where it should."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.small import small_model, small_tokenizer

from centime.data.tokenizer import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve import generate
from centime.serve.generate import Session, greedy
from centime.serve.sampling import Sampling

GREEDY = Sampling(temperature=0)


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
    answer = Session(model, tokenizer).answer(prompt, GREEDY, max_tokens=20)
    assert answer.tokens == without_cache(model, prompt, 20, tokenizer.eos_id)
    assert answer.text == tokenizer.decode(answer.tokens)


def test_a_long_prompt_is_prefilled_in_chunks(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "PREFILL_CHUNK", 5)
    prompt = tokenizer.encode("the dog ate the hat and the cat sat")
    assert len(prompt) > 10
    answer = Session(model, tokenizer).answer(prompt, GREEDY, max_tokens=8)
    assert answer.tokens == without_cache(model, prompt, 8, tokenizer.eos_id)


def test_a_second_turn_reuses_the_cache_and_changes_nothing(model: Transformer, tokenizer: Tokenizer) -> None:
    session = Session(model, tokenizer)
    first_prompt = tokenizer.encode("the cat")
    first = session.answer(first_prompt, GREEDY, max_tokens=6)
    assert first.reused_tokens == 0
    second_prompt = first_prompt + first.tokens + tokenizer.encode(" dog")
    second = session.answer(second_prompt, GREEDY, max_tokens=6)
    # All but the first answer's last token, which was drawn and never run through the model.
    assert second.reused_tokens in {len(first_prompt) + len(first.tokens) - 1, 0}
    assert second.tokens == without_cache(model, second_prompt, 6, tokenizer.eos_id)
    other = tokenizer.encode("the hat")
    third = session.answer(other, GREEDY, max_tokens=6)
    assert third.tokens == without_cache(model, other, 6, tokenizer.eos_id)
    again = session.answer(other, GREEDY, max_tokens=6)
    assert again.reused_tokens == len(other) - 1
    assert again.tokens == third.tokens


def test_a_cache_that_has_to_grow_changes_nothing(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "SMALLEST_CACHE", 32)
    model = small_model(tokenizer, positions=256)
    session = Session(model, tokenizer)
    prompt, reused = tokenizer.encode("the cat"), []
    for _ in range(6):
        answer = session.answer(prompt, GREEDY, max_tokens=10)
        assert answer.tokens == without_cache(model, prompt, 10, tokenizer.eos_id)
        reused.append(answer.reused_tokens)
        prompt = prompt + answer.tokens + tokenizer.encode(" and")
    assert 0 in reused[1:]
    assert any(r > 0 for r in reused)


def test_a_seed_means_one_answer(model: Transformer, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("the")
    answers = {
        seed: Session(model, tokenizer).answer(prompt, Sampling(1.0, 1.0, seed), max_tokens=12).tokens
        for seed in range(6)
    }
    assert len({tuple(t) for t in answers.values()}) > 1
    assert Session(model, tokenizer).answer(prompt, Sampling(1.0, 1.0, 3), max_tokens=12).tokens == answers[3]


def test_why_an_answer_ends(model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = tokenizer.encode("the cat sat")
    session = Session(model, tokenizer)
    full = session.answer(prompt, GREEDY, max_tokens=12)
    assert (full.finish, len(full.tokens)) == ("max-tokens", 12)

    to_the_brim = session.answer(prompt, GREEDY, max_tokens=10_000)
    assert to_the_brim.finish == "context"
    assert len(prompt) + len(to_the_brim.tokens) == session.context

    stop = full.text[3:5]
    stopped = session.answer(prompt, GREEDY, max_tokens=12, stop=[stop])
    assert (stopped.finish, stopped.text) == ("stop", full.text[: full.text.index(stop)])

    monkeypatch.setattr(tokenizer, "eos_id", full.tokens[4])
    ended = session.answer(prompt, GREEDY, max_tokens=12)
    assert ended.finish == "end"
    assert ended.tokens == full.tokens[: full.tokens.index(full.tokens[4])]


def test_pieces_are_written_as_they_come(model: Transformer, tokenizer: Tokenizer) -> None:
    pieces: list[str] = []
    answer = Session(model, tokenizer).answer(tokenizer.encode("the"), GREEDY, max_tokens=15, write=pieces.append)
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
    answer = session.answer(prompt, GREEDY, max_tokens=30, write=write)
    assert answer.finish == "interrupted"
    assert answer.text.startswith("".join(pieces[:3]))
    after = session.answer(prompt, GREEDY, max_tokens=5)
    assert after.tokens == without_cache(model, prompt, 5, tokenizer.eos_id)


def test_a_batch_of_greedy_answers_equals_one_by_one(model: Transformer, tokenizer: Tokenizer) -> None:
    prompts = [tokenizer.encode(t) for t in ("the cat", "the dog ate", "hat", "cat", "the mat and the dog", "on the")]
    expected = [without_cache(model, p, 9, tokenizer.eos_id) for p in prompts]
    for batch_size in (1, 2, 64):
        assert greedy(model, prompts, max_tokens=9, end=tokenizer.eos_id, batch_size=batch_size) == expected
    end = expected[0][3]
    assert greedy(model, prompts[:1], max_tokens=9, end=end) == [expected[0][: expected[0].index(end)]]


def test_bad_prompts_get_a_sentence(model: Transformer, tokenizer: Tokenizer) -> None:
    session = Session(model, tokenizer)
    with pytest.raises(UserError, match="shorten the prompt"):
        session.answer([5] * session.context, GREEDY)
    with pytest.raises(UserError, match="no token"):
        session.answer([], GREEDY)
    with pytest.raises(UserError, match="at least 1"):
        session.answer([5], GREEDY, max_tokens=0)
    with pytest.raises(UserError, match="not this model's"):
        session.answer([model.config.vocab_size], GREEDY)
    with pytest.raises(UserError, match="positions"):
        greedy(model, [[5] * 60], max_tokens=10, end=None)


def test_the_weights_of_any_dtype_generate(tokenizer: Tokenizer) -> None:
    model = small_model(tokenizer).to(torch.bfloat16)
    answer = Session(model, tokenizer).answer(tokenizer.encode("the"), GREEDY, max_tokens=5)
    assert len(answer.tokens) == 5 or answer.finish == "end"


def test_the_folder_fixture_has_a_chat_template(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = tokenizer.render_chat([{"role": "user", "content": "1 + 1"}], add_generation_prompt=True)
    assert tokenizer.decode(tokenizer.encode(text)) == text
