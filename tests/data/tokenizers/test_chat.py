"""Chat templates rendered as Hugging Face renders them, in a sandbox."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.published import published_tokenizer, transformers_tokenizer

from centime.data.tokenizers.chat import render
from centime.data.tokenizers.tokenizer import Tokenizer
from centime.errors import UserError

CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "1+1?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi\n"},
        {"role": "assistant", "content": "Yo"},
    ],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>hm</think>b"},
        {"role": "user", "content": " c "},
    ],
]


def test_our_template_spells_v3s_text(tokenizer: Tokenizer) -> None:
    text = tokenizer.render_chat(CONVERSATIONS[1], add_generation_prompt=True)
    assert text == (
        "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi\n<｜Assistant｜>Yo<｜end▁of▁sentence｜><｜Assistant｜>"
    )


@pytest.mark.parametrize(("number", "prompt"), [(0, False), (0, True), (1, False)])
def test_ours_and_deepseek_v3s_templates_agree(tokenizer: Tokenizer, shared: Path, number: int, prompt: bool) -> None:
    """But for the <think> with which V3's asks for an answer."""
    theirs = published_tokenizer(shared, "deepseek-v3")
    expected = theirs.render_chat(CONVERSATIONS[number], prompt)
    assert tokenizer.render_chat(CONVERSATIONS[number], prompt) == expected.removesuffix("<think>\n")


@pytest.mark.parametrize("folder", ["ours", "deepseek-v2", "deepseek-v3"])
def test_as_transformers_renders(
    tokenizer: Tokenizer, tokenizer_folder: Path, request: pytest.FixtureRequest, folder: str
) -> None:
    pytest.importorskip("transformers")
    path, ours = tokenizer_folder, tokenizer
    if folder != "ours":
        shared = request.getfixturevalue("shared")
        path, ours = shared / "data" / "tokenizers" / folder, published_tokenizer(shared, folder)
    theirs = transformers_tokenizer(path)
    for messages, prompt in itertools.product(CONVERSATIONS, (False, True)):
        expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        assert ours.render_chat(messages, prompt) == expected


def test_refusals_name_the_folder(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"template of .*tok refuses these messages: the role is 'tool'"):
        tokenizer.render_chat([{"role": "tool", "content": "x"}])
    with pytest.raises(UserError, match=r"failed on these messages.*Messages are a list"):
        tokenizer.render_chat([{"role": "user"}])
    with pytest.raises(UserError, match="failed on these messages"):
        render("{% if %}", [], where="x")


def test_a_template_is_kept_in_its_sandbox() -> None:
    for attack in ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}"):
        with pytest.raises(UserError, match="failed on these messages"):
            render(attack, [], where="x")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 'a' * 10**12 }}", "text or list of 1,000,000,000,000"),
        ("{{ (16777217 * 'a') | length }}", "text or list of 16,777,217"),
        ("{{ 10**10**10 }}", "a power of more than 1000"),
        ("{{ 1001 ** 2 }}", "a power of more than 1000"),
        ("{{ 2 ** -1001 }}", "a power of more than 1000"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages.__class__.__mro__ }}", "failed on these messages"),
        ("{% for m in messages %}", "failed on these messages"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "failed on these messages"),
        ("{{ messages[0].content + 1 }}", "failed on these messages"),
    ],
)
def test_a_template_of_any_kind_is_a_sentence(template: str, says: str) -> None:
    with pytest.raises(UserError, match=f"The chat template of m .*{says}"):
        render(template, CONVERSATIONS[0], where="m")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ ('a' * 16777216) | length }}", "16777216"),
        ("{{ ([1] * 3) | length }}", "3"),
        ("{{ 1000 ** 2 }}", "1000000"),
        ("{{ 123456789 * 1000 }}", "123456789000"),
        ("{{ {'é': [1]} | tojson }}", '{"é": [1]}'),
        ("{{ messages | map(attribute='role') | tojson(indent=1) }}", '[\n "user"\n]'),
        ("{% for m in [1, 2] %}{% if m == 2 %}{% break %}{% endif %}\n  {{ m }}{% endfor %}", "  1"),
    ],
)
def test_what_a_template_may_do(template: str, text: str) -> None:
    assert render(template, CONVERSATIONS[0], where="m") == text
