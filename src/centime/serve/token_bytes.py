"""The bytes of every token of a byte-level tokenizer: what grammars match, and what log-probabilities report."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer


@cache
def byte_of() -> dict[str, int]:
    """The byte-level alphabet (GPT-2's): printable bytes stand for themselves, the others for U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


@lru_cache(2**16)  # reports of log-probabilities ask for the same few tokens again and again
def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes a token stands for; of a control token, its name; none for an id without a token."""
    spelled = tokenizer.token_bytes(token)
    if spelled is None:
        return b""
    alphabet = byte_of()
    if spelled in tokenizer.controls or any(character not in alphabet for character in spelled):
        return spelled.encode()
    return bytes(alphabet[character] for character in spelled)
