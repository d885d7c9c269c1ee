"""Chats as text with what is trained on: exactly what the model says by its own template, whatever that does.

A template that only appends gives a conversation as one sample, with a loss on every answer. One that rewrites earlier
turns (R1's and Qwen3's drop their thoughts) gives a sample for each answer, after what the model will see before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from centime.data.chats.conversations import ChatRecord
from centime.data.tokenizers import ChatEncoder
from centime.data.tokenizers.chat_encoder import THINK, THINK_END
from centime.errors import UserError

Segment = tuple[str, bool]
"""A stretch of rendered text and whether the loss falls on it."""

SIGN = "\ufdd4"
"""Shows where the template writes a content: a noncharacter, which no text that is interchanged may hold."""


def samples(encoder: ChatEncoder, chat: ChatRecord, where: str) -> list[list[Segment]]:
    """The samples of a conversation, each cut where what the assistant says begins and ends, for `encoder` to encode.

    An answer begins where the template, asked for a generation prompt, leaves off: training sees what generation will.
    Raises UserError naming `where`.
    """
    _require_known(encoder, chat, where)
    renderer = _Renderer(encoder, chat, where)
    if (whole := renderer.whole()) is not None:
        return [whole]
    answers = [number for number, message in enumerate(chat.messages) if message["role"] == "assistant"]
    return [renderer.answer(number) for number in answers]


def last_answer(encoder: ChatEncoder, chat: ChatRecord, where: str) -> list[Segment]:
    """The sample of a conversation's last answer alone, after all before it. Raises UserError naming `where`."""
    _require_known(encoder, chat, where)
    return _Renderer(encoder, chat, where).answer(len(chat.messages) - 1)


class _Renderer:
    """One conversation, guarded once, rendered as often as it is asked."""

    def __init__(self, encoder: ChatEncoder, chat: ChatRecord, where: str) -> None:
        self.encoder, self.where = encoder, where
        self.messages = encoder.guarded(chat.messages)
        self.tools = encoder.guard(list(chat.tools))
        self.keeps_thoughts = "reasoning_content" in encoder.template

    def text(self, messages: Sequence[Mapping[str, Any]], prompt: bool = False) -> str:
        return self.encoder.render_guarded(messages, add_generation_prompt=prompt, tools=self.tools)

    def whole(self) -> list[Segment] | None:
        """All answers in one sample; None where the template writes a conversation differently once it goes on."""
        if not self.keeps_thoughts and any(message.get("reasoning_content") for message in self.messages):
            return None
        whole = self.text(self.messages)
        cut: list[Segment] = []
        done = 0
        for number, message in enumerate(self.messages):
            if message["role"] != "assistant":
                continue
            before, to_here = self.text(self.messages[:number], prompt=True), self.messages[: number + 1]
            after = whole if to_here == self.messages else self.text(to_here)
            if not (whole.startswith(before) and whole.startswith(after) and len(before) < len(after)):
                return None
            if len(before) < done:  # two answers in a row, which share a beginning
                return None
            cut += [(whole[done : len(before)], False), (whole[len(before) : len(after)], True)]
            done = len(after)
        return cut  # what follows the last answer teaches nothing

    def answer(self, number: int) -> list[Segment]:
        """The answer that is message `number`, after all before it."""
        message = self.messages[number]
        before, after = self.text(self.messages[:number], prompt=True), self.text(self.messages[: number + 1])
        thought = "" if self.keeps_thoughts else message.get("reasoning_content", "")
        if thought:
            start = self._content(number, after)
            opening = "" if before.rstrip("\n").endswith(THINK) else f"{THINK}\n"
            return [(before, False), (f"{opening}{thought}\n{THINK_END}\n\n{after[start:]}", True)]
        start = len(before) if after.startswith(before) and len(before) < len(after) else self._content(number, after)
        return [(after[:start], False), (after[start:], True)]

    def _content(self, number: int, after: str) -> int:
        """Where in a text that ends with message `number` its content begins."""
        message = self.messages[number]
        signed = self.text([*self.messages[:number], {**message, "content": f"{SIGN}{message['content']}"}])
        start = signed.find(SIGN)
        if start < 0 or signed[:start] + signed[start + 1 :] != after:
            raise UserError(
                f"{self.where}: the chat template of {self.encoder.folder} writes this conversation differently once "
                "it goes on (it rewrites earlier turns), so the answer cannot be told from the prompt. Give one "
                "exchange a line, or a template that only appends."
            )
        return start


def _require_known(encoder: ChatEncoder, chat: ChatRecord, where: str) -> None:
    """Raises UserError where the template would silently leave out what the conversation holds."""
    template = encoder.template
    if chat.tools and "tools" not in template:
        raise UserError(f"{where} offers tools, and the chat template of {encoder.folder} knows none. Leave them out.")
    if any(message.get("tool_calls") for message in chat.messages) and "tool_calls" not in template:
        raise UserError(
            f"{where} calls tools, and the chat template of {encoder.folder} knows no tool_calls. Leave the line out, "
            "or train with a tokenizer whose template does."
        )
