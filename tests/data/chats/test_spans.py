"""What is trained on, exactly: under templates that append or rewrite, and that know thoughts and tools or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.published import published_tokenizer

from centime.data.chats import ChatRecord, samples
from centime.data.tokenizers import ChatEncoder, load_tokenizer
from centime.errors import UserError

PROMPT = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
CHATML = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<end>{% endfor %}" + PROMPT
# Qwen3's way: the thoughts of the last answer alone are written; the generation prompt opens none.
FORGETS = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and loop.last %}<think>"
    "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<end>{% endfor %}" + PROMPT
)
# R1's way: what is before </think> is cut off, and the generation prompt opens a thought.
CUTS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
SHORTENS = "{% for m in messages %}{{ m.content if loop.last else m.content[:2] }}<end>{% endfor %}"
TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{{ m.tool_calls | tojson if m.tool_calls else '' }}<end>{% endfor %}" + PROMPT
)
COUNTS = "{{ messages | length }}{% for m in messages %}{{ m.content | length }}{% endfor %}"
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "2"},
]


@pytest.fixture
def encoder(tokenizer_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> ChatEncoder:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text(request.param)
    return ChatEncoder(load_tokenizer(tmp_path))


def thinking(talk: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**m, "reasoning_content": f"so {m['content']}"} if m["role"] == "assistant" else m for m in talk]


@pytest.mark.parametrize("encoder", [CHATML], indirect=True)
def test_a_template_that_appends_gives_one_sample(encoder: ChatEncoder) -> None:
    [cut] = samples(encoder, ChatRecord([*TALK, {"role": "user", "content": "Bye"}]), "here")
    assert cut == [
        ("<|user|>One?<end><|assistant|>", False), ("1<end>", True),
        ("<|user|>Two?<end><|assistant|>", False), ("2<end>", True),
    ]  # fmt: skip


@pytest.mark.parametrize("encoder", [FORGETS], indirect=True)
def test_thoughts_that_are_forgotten_later_are_learned_where_they_were(encoder: ChatEncoder) -> None:
    """A sample an answer, each after what the model will see: earlier answers without their thoughts."""
    first, second = samples(encoder, ChatRecord(thinking(TALK)), "here")
    assert first == [("<|user|>One?<end><|assistant|>", False), ("<think>so 1</think>1<end>", True)]
    assert second == [
        ("<|user|>One?<end><|assistant|>1<end><|user|>Two?<end><|assistant|>", False),
        ("<think>so 2</think>2<end>", True),
    ]


@pytest.mark.parametrize("encoder", [CUTS], indirect=True)
def test_a_thought_that_a_template_cuts_off_is_learned_all_the_same(encoder: ChatEncoder) -> None:
    """As R1 writes it, from where the generation prompt leaves off."""
    first, second = samples(encoder, ChatRecord(thinking(TALK)), "here")
    assert first == [("<|user|>One?<end><|assistant|><think>\n", False), ("so 1\n</think>\n\n1<end>", True)]
    assert second[0] == ("<|user|>One?<end><|assistant|>1<end><|user|>Two?<end><|assistant|><think>\n", False)
    plain = samples(encoder, ChatRecord(TALK), "here")
    assert plain[1] == [("<|user|>One?<end><|assistant|>1<end><|user|>Two?<end><|assistant|>", False), ("2<end>", True)]


@pytest.mark.parametrize("encoder", [SHORTENS], indirect=True)
def test_a_template_that_rewrites_gives_a_sample_an_answer(encoder: ChatEncoder) -> None:
    assert samples(encoder, ChatRecord(TALK), "here") == [
        [("On<end>", False), ("1<end>", True)], [("On<end>1<end>Tw<end>", False), ("2<end>", True)],
    ]  # fmt: skip


@pytest.mark.parametrize("encoder", [COUNTS], indirect=True)
def test_an_answer_that_cannot_be_told_from_its_prompt_is_refused(encoder: ChatEncoder) -> None:
    with pytest.raises(UserError, match=r"line 4: the chat template of .* writes this conversation differently"):
        samples(encoder, ChatRecord(TALK), "a.jsonl, line 4")


@pytest.mark.parametrize("encoder", [TOOLS], indirect=True)
def test_tools_and_their_calls_are_rendered_and_learned(encoder: ChatEncoder) -> None:
    call = {"function": {"name": "add"}}
    talk = [TALK[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    [cut] = samples(encoder, ChatRecord(talk, [{"name": "add"}]), "here")
    assert cut[0][0].startswith('[{"name": "add"}]')
    assert cut[1] == ('[{"function": {"name": "add"}}]<end>', True)


@pytest.mark.parametrize("encoder", [CHATML], indirect=True)
def test_what_a_template_would_leave_out_is_refused(encoder: ChatEncoder) -> None:
    with pytest.raises(UserError, match=r"here offers tools, and the chat template of .* knows none"):
        samples(encoder, ChatRecord(TALK, [{"name": "add"}]), "here")
    talk = [TALK[0], {"role": "assistant", "content": "", "tool_calls": [{}]}]
    with pytest.raises(UserError, match=r"here calls tools, and the chat template of .* knows no tool_calls"):
        samples(encoder, ChatRecord(talk), "here")


def test_deepseeks_own_template_takes_thoughts_and_calls(shared: Path) -> None:
    encoder = ChatEncoder(published_tokenizer(shared, "deepseek-v3"))
    found = samples(encoder, ChatRecord(thinking(TALK)), "here")
    assert [cut[-1][1] for cut in found] == [True] * len(found)
    assert all("so 2" in "".join(text for text, on in found[-1] if on) for _ in found)
