"""What the bytes of a request say about the tokens of its prompts, before anybody has tokenized them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEMPLATE, _PER_MESSAGE = 512, 32  # tokens that a chat template may add: in all, and around a message
_TEXT_PARTS = {"text", "input_text", "refusal", "thinking", "redacted_thinking", "tool_use", "tool_result"}
_PROMPTS = ("prompt", "prompt_embeds", "input")  # of completions, and of embeddings


def number_of_prompts(body: Mapping[str, Any]) -> int:
    """How many prompts a request has: a list is one of each of its entries, but for one of token ids."""
    lists = [body[name] for name in _PROMPTS if isinstance(body.get(name), list)]
    several = sum(len(items) for items in lists if not all(isinstance(item, int) for item in items))
    return max(1, several)


def most_prompt_tokens(body: Mapping[str, Any], size: int) -> int | None:
    """Tokens of all prompts at most, of a body of `size` bytes; None where bytes do not tell.

    A token covers at least one byte of text, and JSON writes no byte of text in less than one. An image has more tokens
    than its address has bytes, and a template of the client's own may write what it likes.
    """
    messages = body.get("messages")
    turns = messages if isinstance(messages, list) else []
    own_template = body.get("chat_template") is not None
    if own_template or not all(_is_text(body.get(name)) for name in (*_PROMPTS, "system", "messages")):
        return None
    return size + _TEMPLATE + _PER_MESSAGE * len(turns)


def _is_text(value: Any) -> bool:
    """Whether a prompt, turns or parts of turns are made of nothing but text and token ids."""
    if isinstance(value, list):
        return all(map(_is_text, value))
    if not isinstance(value, dict):
        return True
    if "role" not in value and value.get("type") not in _TEXT_PARTS:
        return False
    return _is_text(value.get("content"))
