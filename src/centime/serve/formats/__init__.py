"""How a chat becomes a prompt and an answer becomes reasoning, content and tool calls, by the model's family."""

from __future__ import annotations

from centime.serve.formats.format import NAMES, Chat, ChatFormat, Prompt, find_format
from centime.serve.formats.parser import AnswerParser
from centime.serve.formats.tool_calls import Delta

__all__ = ["NAMES", "AnswerParser", "Chat", "ChatFormat", "Delta", "Prompt", "find_format"]
