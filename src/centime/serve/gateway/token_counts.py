"""What an upstream tells of an answer's tokens, in any of the shapes there are, and the text that an answer has.

OpenAI's shape: `usage` with `prompt_tokens_details.cached_tokens`; DeepSeek's: `prompt_cache_hit_tokens`; Anthropic's:
`input_tokens` (those no cache held), `cache_read_input_tokens`, `cache_creation_input_tokens`, `output_tokens`.
llama-server tells `timings` with a chunk: `cache_n`, `prompt_n` (computed), `predicted_n`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MOST = 2**40  # tokens: what is more was not counted but made up
_NOT_TEXT = {"role", "id", "type", "index", "object", "finish_reason", "stop_reason", "logprobs", "signature"}


class NotACount(ValueError):
    """A count that is none: negative, no whole number, a truth value, text."""


@dataclass(frozen=True)
class TokenCounts:
    """Of one request. hit: of the prompt's, found in the upstream's cache."""

    prompt: int
    hit: int
    output: int

    def plus(self, other: TokenCounts) -> TokenCounts:
        """Both together."""
        return TokenCounts(self.prompt + other.prompt, self.hit + other.hit, self.output + other.output)

    def within(self, most: TokenCounts) -> TokenCounts:
        """No more than what was reserved: what a request costs at most was said when it was admitted."""
        prompt = min(self.prompt, most.prompt)
        return TokenCounts(prompt, min(self.hit, prompt), min(self.output, most.output))


def counts_of(usage: Any) -> TokenCounts | None:
    """The counts in a `usage` object; None where it is none, or its counts are none."""
    if not isinstance(usage, dict):
        return None
    try:
        if "input_tokens" in usage:
            read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
            return TokenCounts(_count(usage, "input_tokens") + read + written, read, _count(usage, "output_tokens"))
        if "prompt_tokens" not in usage:
            return None
        details = usage.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
        prompt = _count(usage, "prompt_tokens")
        hit = min(prompt, max(cached, _count(usage, "prompt_cache_hit_tokens")))
        return TokenCounts(prompt, hit, _count(usage, "completion_tokens"))
    except NotACount:
        return None


def output_of(usage: Any) -> int | None:
    """The output alone, as the end of an Anthropic stream tells it; None where it does not."""
    try:
        return _count(usage, "output_tokens") if isinstance(usage, dict) and "output_tokens" in usage else None
    except NotACount:
        return None


def timed_counts(timings: Any) -> TokenCounts | None:
    """The counts in llama-server's `timings`."""
    if not isinstance(timings, dict) or "predicted_n" not in timings:
        return None
    try:
        hit = _count(timings, "cache_n")
        return TokenCounts(hit + _count(timings, "prompt_n"), hit, _count(timings, "predicted_n"))
    except NotACount:
        return None


def usage_body(counts: TokenCounts, kind: str) -> dict[str, Any]:
    """A `usage` of the gateway's own counting, where the upstream has reported none."""
    if kind == "messages":
        return {
            "input_tokens": counts.prompt - counts.hit,
            "cache_read_input_tokens": counts.hit,
            "output_tokens": counts.output,
        }
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output,
        "total_tokens": counts.prompt + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.hit},
    }


def texts_of(value: Any) -> Iterator[str]:
    """The texts that a model wrote, in a message, a delta, a choice or a block: content, thoughts, calls."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _NOT_TEXT:
                yield from texts_of(inner)


def _count(body: dict[str, Any], name: str) -> int:
    """A count; 0 where there is none. Raises NotACount."""
    value = body.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST or value != int(value):
        raise NotACount(f"{name} is {value!r}")
    return int(value)
