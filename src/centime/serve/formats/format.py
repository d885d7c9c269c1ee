"""A model family's chat format, and how the one of a model folder is found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from centime.data.tokenizers import ChatEncoder
from centime.data.tokenizers.chat import render
from centime.errors import UserError, nearest
from centime.json_files import read_object
from centime.serve.formats.parser import THINK, THINK_END, AnswerParser, Start
from centime.serve.formats.tool_calls import CALLS_BEGIN, Calls, Json, Tags
from centime.serve.formats.turns import render_json_calls, render_tag_calls

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

Thinks = Literal["never", "always", "on request"]

# name -> (how it writes tool calls, whether it thinks before it answers)
FAMILIES: dict[str, tuple[Calls, Thinks]] = {
    "v3": (Json(fenced=True), "never"),
    "r1": (Json(fenced=True), "always"),
    "v3.1": (Json(fenced=False), "on request"),
    "v3.2": (Tags(), "on request"),
}
NAMES = tuple(FAMILIES)


@dataclass(frozen=True)
class Chat:
    """A conversation to answer.

    messages: [{"role": "system" | "user" | "assistant" | "tool", "content": text, ...}], assistants' with
    `reasoning_content` and `tool_calls` where they had some. prefix: the beginning of the answer, when the client gives
    one, and `prefix_reasoning` of its reasoning. thinking: whether it may think, where the model leaves the choice.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    thinking: bool = True
    prefix: str | None = None
    prefix_reasoning: str | None = None


@dataclass(frozen=True)
class Prompt:
    """Token ids, and what the answer to them begins with."""

    ids: list[int] = field(repr=False)
    start: Start


class ChatFormat:
    """Prompts and parsers of one model. `template` renders its chats where it can, our own rendering elsewhere."""

    def __init__(self, name: str, tokenizer: Tokenizer, template: str | None = None) -> None:
        self.name = name
        self.calls, self.thinks = FAMILIES[name]
        self.think_end = tokenizer.token_id(THINK_END)
        self._tokenizer = tokenizer
        self._encoder = ChatEncoder(tokenizer)
        self._template = template
        self._template_takes_tools = re.search(r"\btools\b", template or "") is not None

    def prompt(self, chat: Chat) -> Prompt:
        """Raises UserError when the folder's template, or the format, refuses the messages."""
        thinking = self.thinks == "always" or (self.thinks == "on request" and chat.thinking)
        text = self._render(self._guarded(chat.messages), self._encoder.guard(list(chat.tools)), thinking)
        if self.thinks == "always" and not chat.thinking:  # R1 has no switch: an empty thought is what turns it off
            text = text.removesuffix(f"{THINK}\n") + f"{THINK}\n\n{THINK_END}\n\n"
        text, start = self._begun(text, chat)
        return Prompt(self._encoder.encode(text), start)

    def parser(self, prompt: Prompt, *, tools: bool) -> AnswerParser:
        """A parser for the answer to a prompt; calls are looked for only where the client offered tools."""
        return AnswerParser(prompt.start, self.calls if tools else None)

    def _guarded(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The messages with no control token left in them, and no thought in an earlier answer's content.

        Clients send an answer back with its <think> part inside; the templates of R1 and V3.1 cut that off.
        """
        sound: list[dict[str, Any]] = []
        for message in messages:
            content = message["content"]
            if message["role"] == "assistant" and self.thinks != "never":
                content = content.rpartition(THINK_END)[2]
            sound.append(self._encoder.guard({**message, "content": content}))
        return sound

    def _render(self, messages: list[dict[str, Any]], tools: list[Any], thinking: bool) -> str:
        tooled = bool(tools) or any(message["role"] == "tool" or message.get("tool_calls") for message in messages)
        tokenizer = self._tokenizer
        if self._template is not None and (self._template_takes_tools or not tooled):
            return render(
                self._template,
                messages,
                where=str(tokenizer.folder),
                add_generation_prompt=True,
                bos_token=tokenizer.bos_token or "",
                eos_token=tokenizer.eos_token,
                thinking=thinking,
                **({"tools": tools} if tools else {}),
            )
        if isinstance(self.calls, Json):
            opening = {"never": "", "always": f"{THINK}\n", "on request": THINK if thinking else THINK_END}[self.thinks]
            return render_json_calls(messages, tools, self.calls, opening)
        return render_tag_calls(messages, tools, self.calls, thinking=thinking)

    def _begun(self, text: str, chat: Chat) -> tuple[str, Start]:
        """The rendered chat with the answer's given beginning, and what the rest begins with."""
        start: Start = "reasoning" if text.rstrip("\n").endswith(THINK) else "content"
        if start == "content" and self.thinks == "always" and chat.thinking:
            start = "either"
        if start == "reasoning" and chat.prefix_reasoning:
            text += self._encoder.guard(chat.prefix_reasoning)
        if chat.prefix:
            if start == "reasoning":
                text += THINK_END + ("\n\n" if self.thinks == "always" else "")
            text, start = text + self._encoder.guard(chat.prefix), "content"
        return text, start


def find_format(tokenizer: Tokenizer, name: str = "auto") -> ChatFormat:
    """The chat format of a model folder: by its chat template, or by its model_type where it ships none (V3.2).

    A template that knows no tool calls, or none at all, gives "v3". A format named outright is rendered by us, whatever
    the folder's template says. Raises UserError on an unknown name.
    """
    if name != "auto":
        if name not in FAMILIES:
            hint = nearest(name, NAMES)
            raise UserError(f"chat format {name!r} is not known.{hint} Known: auto, {', '.join(NAMES)}.")
        return ChatFormat(name, tokenizer)
    template = tokenizer.chat_template
    if template is None:
        config = tokenizer.folder / "config.json"
        kind = read_object(config).get("model_type", "") if config.is_file() else ""
        found = "v3.2" if str(kind).startswith("deepseek_v32") else "v3"
    elif "function_calls>" in template:
        found = "v3.2"
    elif CALLS_BEGIN in template and "```json" not in template:
        found = "v3.1"
    else:
        found = "r1" if THINK in template else "v3"
    return ChatFormat(found, tokenizer, template)
