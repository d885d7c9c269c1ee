"""A conversation goes through the chat template, keeps its cache, and forgets the oldest when the context is full."""

from __future__ import annotations

import pytest
from tests.small import small_model, small_tokenizer

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.conversation import Conversation
from centime.serve.offline.session import ALONE, Session


def greedy(max_tokens: int) -> SamplingParams:
    return SamplingParams(max_tokens, temperature=0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tok") / "tokenizer")


def test_turns_are_rendered_and_the_cache_is_kept(tokenizer: Tokenizer) -> None:
    model = small_model(tokenizer, positions=256)
    talk = Conversation(Session(model, tokenizer), system="the dog")
    first, _ = talk.say("the cat", greedy(8))
    second, forgotten = talk.say("sat", greedy(8))
    assert forgotten == 0
    assert [m["role"] for m in talk.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert talk.messages[2]["content"] == first.text
    assert second.reused_tokens >= first.prompt_tokens - ALONE.block_tokens

    rendered = tokenizer.render_chat(talk.messages[:-1], add_generation_prompt=True)
    afresh = Session(model, tokenizer).answer(tokenizer.encode(rendered), greedy(8))
    assert second.tokens == afresh.tokens

    talk.clear()
    again, _ = talk.say("the cat", greedy(8))
    assert again.tokens == first.tokens


def test_the_oldest_exchanges_make_room(tokenizer: Tokenizer) -> None:
    session = Session(small_model(tokenizer, positions=48), tokenizer)
    talk = Conversation(session)
    lost = 0
    for _ in range(8):
        answer, forgotten = talk.say("the cat sat", greedy(8))
        lost += forgotten
        assert answer.finish in {"max-tokens", "end"}
        assert [m["role"] for m in talk.messages] == ["user", "assistant"] * (len(talk.messages) // 2)
    assert lost > 0


def test_a_message_that_cannot_fit_leaves_the_conversation_as_it_was(tokenizer: Tokenizer) -> None:
    talk = Conversation(Session(small_model(tokenizer, positions=48), tokenizer))
    talk.say("the cat", greedy(4))
    before = talk.messages
    with pytest.raises(UserError, match="write a shorter one"):
        talk.say("the cat sat on the mat " * 20, greedy(4))
    assert talk.messages == before


def test_a_tokenizer_without_a_template_is_refused_at_once(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(UserError, match="chat template"):
        Conversation(Session(small_model(tokenizer), tokenizer))
