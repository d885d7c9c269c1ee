"""A rendered chat to token ids, in which only the template can write control tokens, whatever people's text spells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from centime.serve.api.formats.words import any_of

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer

# Stands inside a control token that a text from outside spells, until the text is encoded. A noncharacter: no text
# that is interchanged may hold it (Unicode 16.0, section 23.7).
_MARK = "\ufdd0"


class Encoder:
    """`guard` what comes from outside, render it, `encode` the whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._controls = any_of(tokenizer.controls)
        # Makes what it needs, with DeepSeek-V3's vocabulary for two seconds in which no other thread runs: now, not at
        # the first text that spells a control token.
        tokenizer.encode("", parse_special=False)

    def guard(self, value: Any) -> Any:
        """A text, or JSON value that holds texts, whose control tokens will be encoded as the characters they are.

        Without recursion, so that no depth of a client's value matters.
        """
        top = [value]
        left: list[Any] = [top]
        while left:
            outer = left.pop()
            for at, inner in list(outer.items()) if isinstance(outer, dict) else enumerate(outer):
                if isinstance(inner, str):
                    outer[at] = self._guarded(inner)
                elif isinstance(inner, dict):
                    outer[at] = {self._guarded(key): one for key, one in inner.items()}
                    left.append(outer[at])
                elif isinstance(inner, list):
                    outer[at] = list(inner)
                    left.append(outer[at])
        return top[0]

    def _guarded(self, text: str) -> str:
        return self._controls.sub(lambda found: found[0][0] + _MARK + found[0][1:], text.replace(_MARK, ""))

    def encode(self, rendered: str) -> list[int]:
        """The ids of a rendered chat: control tokens where the template wrote them, characters elsewhere."""
        if _MARK not in rendered:
            return self._tokenizer.encode(rendered)
        ids: list[int] = []
        start = 0
        for found in self._controls.finditer(rendered):
            ids += self._plain(rendered[start : found.start()])
            ids += self._tokenizer.encode(found[0])
            start = found.end()
        return ids + self._plain(rendered[start:])

    def _plain(self, text: str) -> list[int]:
        return self._tokenizer.encode(text.replace(_MARK, ""), parse_special=False) if text else []
