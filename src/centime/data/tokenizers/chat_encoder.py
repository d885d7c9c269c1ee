"""A chat to token ids, in which only the template can write control tokens, whatever people's text spells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from centime.data.tokenizers.chat import Message
from centime.data.tokenizers.tokenizer import Tokenizer
from centime.data.tokenizers.words import any_of

# Stands inside a control token that a text from outside spells, until the text is encoded. A noncharacter, as are the
# three by which texts that hold one are written: no text that is interchanged may (Unicode 16.0, section 23.7).
_MARK = "\ufdd0"
_ESCAPED = {"\ufdd0": "\ufdd1\ufdd2", "\ufdd1": "\ufdd1\ufdd3"}
_ESCAPE = str.maketrans(_ESCAPED)

WORDS = ("role", "content", "system", "user", "assistant", "tool")
"""Of every message, and looked at once."""
THINK, THINK_END = "<think>", "</think>"


class ChatEncoder:
    """`ids` of a chat by the tokenizer's template; or `guard` what comes from outside, render it, `encode` the whole.

    A rendered text spells a control token only where the template wrote its first character: within a text from outside
    a mark parts every spelling, and another one stands where such a text ends with the beginning of one, or begins
    with the end of one. Templates see the marks in texts that spell control tokens, and in no other.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.folder = tokenizer.folder
        self._tokenizer = tokenizer
        self._controls = any_of(tokenizer.controls)
        self._sound: set[str] = set()
        signed = [control for control in tokenizer.controls if not control[0].isalnum()]
        self._beginnings = {control[:length] for control in signed for length in range(1, len(control))}
        closed = [control for control in signed if not control[-1].isalnum()]
        self._endings = {control[at:] for control in closed for at in range(1, len(control))}
        self._longest = max(map(len, signed), default=1)
        self._firsts, self._lasts = {end[0] for end in self._endings}, {begun[-1] for begun in self._beginnings}
        # Makes what it needs, with DeepSeek-V3's vocabulary for two seconds in which no other thread runs: now, not at
        # the first text that spells a control token.
        tokenizer.encode("", parse_special=False)
        self._sound = {word for word in WORDS if self._guarded(word) == word}

    def ids(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """The ids of [{"role", "content"}, ...] under the tokenizer's chat template."""
        return self.encode(self.render(messages, add_generation_prompt=add_generation_prompt))

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The text of a chat, its messages guarded: for `encode` or `encode_batch` alone, in whole or in parts."""
        return self.render_guarded(self.guarded(messages), add_generation_prompt=add_generation_prompt)

    def guarded(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as a template may have them, for `render_guarded`, all or the first of them."""
        return [self.guard(self._apart(message)) for message in messages]

    def render_guarded(
        self, messages: Sequence[Message], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        """As `render`, of messages that `guarded` has gone through, and tools that `guard` has."""
        return self._tokenizer.render_chat(messages, add_generation_prompt, tools)

    @property
    def template(self) -> str:
        """The chat template's text; '' where the tokenizer has none."""
        return self._tokenizer.chat_template or ""

    def _apart(self, message: Message) -> Mapping[str, Any]:
        """An answer without its thought where the template would look for one: it cannot see it in a guarded text.

        Templates that know `reasoning_content` get the thought there, others cut it off (R1's, V3.1's).
        """
        content, template = message.get("content"), self._tokenizer.chat_template or ""
        if message.get("role") != "assistant" or not isinstance(content, str) or THINK_END not in content:
            return message
        if THINK_END not in template:
            return message
        thought, _, said = content.rpartition(THINK_END)
        apart = {**message, "content": said}
        if "reasoning_content" in template and not message.get("reasoning_content"):
            apart["reasoning_content"] = thought.rpartition(THINK)[2].strip("\n")
        return apart

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
        if text in self._sound:
            return text
        text = self._parted(text.translate(_ESCAPE) if _MARK in text or "\ufdd1" in text else text)
        lengths = range(1, self._longest)
        if text[:1] in self._firsts and any(text[:length] in self._endings for length in lengths):
            text = _MARK + text
        if text[-1:] in self._lasts and any(text[-length:] in self._beginnings for length in lengths):
            text += _MARK
        return text

    def _parted(self, text: str) -> str:
        """With a mark after the first character of every control token spelled, those that overlap too."""
        at = 0
        parts = []
        while found := self._controls.search(text, at):
            parts.append(text[at : found.start() + 1])
            at = found.start() + 1
        return _MARK.join([*parts, text[at:]]) if parts else text

    def encode(self, rendered: str) -> list[int]:
        """The ids of a rendered chat: control tokens where the template wrote them, characters elsewhere."""
        if _MARK not in rendered and "\ufdd1" not in rendered:
            return self._tokenizer.encode(rendered)
        ids: list[int] = []
        start = 0
        for found in self._controls.finditer(rendered):
            ids += self._plain(rendered[start : found.start()])
            ids += self._tokenizer.encode(found[0])
            start = found.end()
        return ids + self._plain(rendered[start:])

    def encode_batch(self, rendered: Sequence[str]) -> list[list[int]]:
        """As encode, for many short texts at once, on all cores."""
        ids = self._tokenizer.encode_batch(rendered)
        for number, text in enumerate(rendered):
            if _MARK in text or "\ufdd1" in text:
                ids[number] = self.encode(text)
        return ids

    def _plain(self, text: str) -> list[int]:
        text = text.replace(_MARK, "")
        for sign, written in _ESCAPED.items():
            text = text.replace(written, sign)
        return self._tokenizer.encode(text, parse_special=False) if text else []
