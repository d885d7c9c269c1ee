"""Whatever people's text spells: control tokens stand where the template put them, and decoding gives the text back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centime.data.pairs import PairLoader
from centime.data.tokenizers.bpe import FIRST, LAST
from centime.data.tokenizers.chat_encoder import ChatEncoder
from centime.data.tokenizers.tokenizer import Tokenizer, load_tokenizer

# Writes every part of a message next to another, roles, names and arguments too, and trims.
JOINED = (
    "{{ bos_token }}{% for m in messages %}<｜User｜>{{ m['role'] }}{{ m['content'] }}{{ m['content'] | trim }}"
    "{% for c in m['tool_calls'] or [] %}<think>{{ c['name'] + (c['arguments'] | tojson) }}</think>{% endfor %}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
CONTROLS = [*FIRST, *LAST]
CUTS = [control[a:b] for control in CONTROLS for a, b in ((0, 3), (0, -1), (1, None), (-2, None))]
TEXT = st.lists(
    st.sampled_from([*CONTROLS, *CUTS, " ", "\n", "word", "<", "\ufdd0", "\ufdd1", "\ufdd2"]) | st.text(max_size=3),
    max_size=6,
).map(lambda parts: "".join(parts).encode("utf-8", "replace").decode())
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.lists(TEXT), max_size=2)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXT, "arguments": ARGUMENTS}), max_size=2)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": TEXT | st.just("user"), "content": TEXT, "tool_calls": CALLS}),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def joined(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("joined")
    (folder / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    (folder / "chat_template.jinja").write_text(JOINED)
    return load_tokenizer(folder)


def controls_in(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    known = {tokenizer.token_id(control): control for control in tokenizer.controls}
    return [known[i] for i in ids if i in known]


@settings(deadline=None, max_examples=100)
@given(messages=MESSAGES)
def test_control_tokens_are_the_templates_alone(joined: Tokenizer, messages: list[dict[str, Any]]) -> None:
    ids = ChatEncoder(joined).ids(messages, add_generation_prompt=True)
    expected = [CONTROLS[0]]
    for message in messages:
        expected += ["<｜User｜>", *["<think>", "</think>"] * len(message["tool_calls"]), "<｜end▁of▁sentence｜>"]
    assert controls_in(joined, ids) == [*expected, "<｜Assistant｜>"]
    assert joined.decode(ids) == joined.render_chat(messages, add_generation_prompt=True)


@settings(deadline=None, max_examples=30)
@given(turns=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_pairs_hold_no_control_token_of_a_persons(
    tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[str, str]]
) -> None:
    messages = [
        {"role": role, "content": content}
        for question, answer in turns
        for role, content in (("user", question), ("assistant", answer))
    ]
    path = tmp_path_factory.mktemp("pairs") / "p.jsonl"
    path.write_text(json.dumps({"messages": messages}))
    [tokens], [mask] = PairLoader(path, tokenizer, 4096).rows(0, 1)
    ids = [int(i) for i in tokens]
    ids = ids[: max(at for at, i in enumerate(ids) if i == tokenizer.eos_id) + 1]
    turn = ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"]
    assert controls_in(tokenizer, ids) == [CONTROLS[0], *turn * len(turns)]
    assert tokenizer.decode(ids) == tokenizer.render_chat(messages)
    answers = tokenizer.decode(int(i) for i in tokens[mask])
    assert answers == "".join(f"{answer}<｜end▁of▁sentence｜>" for _, answer in turns)


def test_plain_chats_are_encoded_as_they_are_rendered(tokenizer: Tokenizer) -> None:
    messages = [{"role": "user", "content": "Hello  world\n\n猫 > <b>"}]
    rendered = tokenizer.render_chat(messages, True)
    assert ChatEncoder(tokenizer).ids(messages, add_generation_prompt=True) == tokenizer.encode(rendered)


def test_a_thought_goes_where_the_template_puts_it(
    tokenizer: Tokenizer, tokenizer_folder: Path, tmp_path: Path
) -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}]
    (tmp_path / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    cuts = (
        "{% for m in messages %}{% set c = m['content'] %}{% if '</think>' in c %}{% set c = c.split('</think>')[-1] %}"
        "{% endif %}{{ c }}{% endfor %}"
    )
    thought = "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    keeps = cuts.replace("{{ c }}", thought + "{{ c }}")
    for template, expected, controls in ((cuts, "a\n\nb", 0), (keeps, "a<think>hm</think>\n\nb", 2)):
        (tmp_path / "chat_template.jinja").write_text(template)
        loaded = load_tokenizer(tmp_path)
        ids = ChatEncoder(loaded).ids(said, add_generation_prompt=False)
        assert loaded.decode(ids) == expected
        assert len(controls_in(loaded, ids)) == controls
        for message in (
            {"role": "user", "content": "why </think> here"},
            {"role": "assistant", "content": "no thought"},
            {"role": "system", "content": "</think>"},
        ):
            ids = ChatEncoder(loaded).ids([message], add_generation_prompt=False)
            assert loaded.decode(ids) == message["content"], "what a person says stays, and what was no thought"
    ids = ChatEncoder(tokenizer).ids(said, add_generation_prompt=False)
    assert "<think>" not in controls_in(tokenizer, ids), "our own template knows no thoughts: they are text"
