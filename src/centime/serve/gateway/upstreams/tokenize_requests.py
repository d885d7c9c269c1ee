"""How each kind of upstream is asked for the tokens of a text: what is sent to its /tokenize, and what comes back.

vLLM, SGLang and centime take {"prompt"}, vLLM and centime {"messages"} too; llama-server takes {"content"}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from centime.serve.gateway.inbound import Inbound

_OF_CHATS = {"vllm": ("messages", "tools", "chat_template_kwargs"), "centime": ("messages",)}


def prompt_question(inbound: Inbound, body: Mapping[str, Any], upstream: str) -> dict[str, Any] | int | None:
    """What to ask for the prompt's tokens; their number where they are there; None where the upstream cannot tell.

    body: the request's, or one with the `prompt` that its messages make.
    """
    if inbound.prompts > 1:
        return None
    if inbound.kind == "chat" and upstream in _OF_CHATS:
        return {name: body[name] for name in ("model", *_OF_CHATS[upstream]) if name in body}
    text = body.get("prompt")
    if isinstance(text, list) and all(isinstance(token, int) for token in text):
        return len(text)
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if not isinstance(text, str):
        return None
    if upstream == "llamacpp":
        return {"content": text, "add_special": True, "parse_special": True}
    return {"model": body.get("model"), "prompt": text}


def text_question(text: str, model: Any, upstream: str) -> dict[str, Any]:
    """What to ask for the tokens of a text by itself, without those that begin a prompt."""
    if upstream == "llamacpp":
        return {"content": text, "add_special": False, "parse_special": True}
    named = {} if model is None else {"model": model}
    return {**named, "prompt": text, "add_special_tokens": False}


def count_of(answer: Mapping[str, Any] | None) -> int | None:
    """From {"count": n} (vLLM, SGLang, centime) or {"tokens": [...]} (llama-server); None where it is neither."""
    if answer is None:
        return None
    count, tokens = answer.get("count"), answer.get("tokens")
    if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        return count
    return len(tokens) if isinstance(tokens, list) else None
