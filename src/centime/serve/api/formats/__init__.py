"""How a chat becomes a prompt and an answer becomes reasoning, content and tool calls, by the model's family."""

from __future__ import annotations

from centime.serve.api.formats.calls import Delta
from centime.serve.api.formats.format import NAMES, Chat, Format, Prompt, find_format
from centime.serve.api.formats.parser import AnswerParser

__all__ = ["NAMES", "AnswerParser", "Chat", "Delta", "Format", "Prompt", "find_format"]
