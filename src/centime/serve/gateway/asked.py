"""What a request's body asks for, as far as its price depends on it; all else goes to the upstream as it came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from centime.serve.api.errors import ApiError

Kind = Literal["chat", "completions", "messages", "embeddings"]

UNKNOWN_CONTEXT = 131_072  # tokens, of an upstream that does not say how many it has room for
DEFAULT_MAX_TOKENS = 4096  # asked of such an upstream where the client names no limit; DeepSeek-V3's API did the same
_TEMPLATE, _PER_MESSAGE = 512, 32  # tokens that a chat template may add: in all, and around a message


@dataclass(frozen=True)
class Asked:
    """One request. `choices` answers of `max_tokens` each at most; None: the client names no limit."""

    kind: Kind
    body: dict[str, Any]
    stream: bool
    wants_usage: bool  # of a stream: the client asked for the chunk with the usage
    choices: int
    max_tokens: int | None
    prompt_bound: int | None  # tokens of the prompt at most, told from its bytes; None: no bytes tell (an image)


def read_body(kind: Kind, raw: bytes) -> Asked:
    """Raises ApiError (400, 422) for a body that is no JSON object, or counts that are none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is no JSON.") from None
    if not isinstance(body, dict):
        raise ApiError(400, f"The body is a JSON {type(body).__name__}; expected an object.")
    options = body.get("stream_options")
    prompts = body.get("prompt")
    several = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
    return Asked(
        kind=kind,
        body=body,
        stream=body.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=max(_count(body, "n") or 1, _count(body, "best_of") or 1) * several,
        max_tokens=0 if kind == "embeddings" else _max_tokens(body),
        prompt_bound=_prompt_bound(body, raw),
    )


def most_tokens(asked: Asked, context: int | None) -> int:
    """Output tokens at most, of all choices together: what the client names, else what the upstream has room for."""
    each = asked.max_tokens if asked.max_tokens is not None else context or DEFAULT_MAX_TOKENS
    return asked.choices * each


def for_upstream(asked: Asked, *, context: int | None, upstream: str) -> dict[str, Any]:
    """The body as the upstream gets it: streams always tell their usage, and no answer is longer than what is held.

    upstream: what it is; vLLM, SGLang and llama-server can tell with every chunk, which counts answers cut short too.
    """
    body = dict(asked.body)
    if asked.stream and asked.kind in {"chat", "completions"}:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        if upstream in {"vllm", "sglang"}:
            body["stream_options"]["continuous_usage_stats"] = True
        elif upstream == "llamacpp":
            body["timings_per_token"] = True
    if asked.max_tokens is None and context is None:
        body["max_tokens"] = DEFAULT_MAX_TOKENS
    return body


def _max_tokens(body: dict[str, Any]) -> int | None:
    given = [_count(body, name) for name in ("max_tokens", "max_completion_tokens", "n_predict")]
    return max((value for value in given if value is not None), default=None)


def _count(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31:
        raise ApiError(422, f"{name} is {value!r}; give a whole number of at least 1.", param=name)
    return value


def _prompt_bound(body: dict[str, Any], raw: bytes) -> int | None:
    """A token covers at least one byte of text, and JSON writes no byte of text in less than one."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return len(raw) + _TEMPLATE
    for message in messages:
        parts = message.get("content") if isinstance(message, dict) else None
        if isinstance(parts, list) and any(
            isinstance(part, dict) and part.get("type") not in {"text", "thinking", "tool_use", "tool_result"}
            for part in parts
        ):
            return None
    return len(raw) + _TEMPLATE + _PER_MESSAGE * len(messages)
