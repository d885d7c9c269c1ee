"""The bytes of tokens: the byte-level alphabet, a text from its tokens, names of control tokens."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.small import WORDS, small_tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from centime.serve.token_bytes import byte_of, token_bytes


def test_the_alphabet_is_gpt_2_s() -> None:
    alphabet = byte_of()
    assert sorted(alphabet) == sorted(ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    known = {"Ā": 0x00, "Ċ": 0x0A, "Ġ": 0x20, "!": 0x21, "~": 0x7E, "ġ": 0x7F, "Ń": 0xAD, "¡": 0xA1, "ÿ": 0xFF}
    assert {letter: alphabet[letter] for letter in known} == known


@given(st.text(max_size=12))
def test_every_character_is_written_in_the_alphabet_as_tokenizers_does(text: str) -> None:
    written = "".join(piece for piece, _ in ByteLevel(add_prefix_space=False).pre_tokenize_str(text))
    assert bytes(byte_of()[letter] for letter in written) == text.encode()


def test_tokens_join_to_their_text_and_control_tokens_are_their_names(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path)
    assert b"".join(token_bytes(tokenizer, token) for token in tokenizer.encode(WORDS)) == WORDS.encode()
    for name in ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜fim▁hole｜>"):
        token = tokenizer.token_id(name)
        assert token is not None
        assert token_bytes(tokenizer, token) == name.encode()
    assert token_bytes(tokenizer, 10**6) == b""
