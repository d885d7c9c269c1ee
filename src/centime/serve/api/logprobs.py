"""Log-probabilities as the two APIs report them: a list of tokens for chats, parallel lists for completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from centime.serve.token_bytes import token_bytes

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer
    from centime.serve.engine.request import TokenLogprob

FLOOR = -9999.0  # JSON has no minus infinity; OpenAI's API writes this for a token that cannot come


class TopLogprob(TypedDict):
    """A token and its natural log-probability; `bytes` because a token may be part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class ChatLogprob(TopLogprob):
    """The token that was chosen, and the most likely ones in its place."""

    top_logprobs: list[TopLogprob]


class CompletionLogprobs(TypedDict):
    """Parallel lists, one entry a token. text_offset: characters from the beginning of the text."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def _one(tokenizer: Tokenizer, token: int, logprob: float) -> TopLogprob:
    spelled = token_bytes(tokenizer, token)
    text = spelled.decode("utf-8", "replace")
    return {"token": text, "logprob": max(logprob, FLOOR), "bytes": list(spelled)}


def for_chat(tokenizer: Tokenizer, logprobs: Sequence[TokenLogprob]) -> list[ChatLogprob]:
    """One entry a token."""
    return [
        {
            **_one(tokenizer, found.token, found.logprob),
            "top_logprobs": [_one(tokenizer, token, logprob) for token, logprob in found.best],
        }
        for found in logprobs
    ]


def for_completion(tokenizer: Tokenizer, logprobs: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs:
    """The same as parallel lists; offset: characters before the first token."""
    chosen = [_one(tokenizer, found.token, found.logprob) for found in logprobs]
    offsets = []
    for one in chosen:
        offsets.append(offset)
        offset += len(one["token"])
    return {
        "tokens": [one["token"] for one in chosen],
        "token_logprobs": [one["logprob"] for one in chosen],
        "top_logprobs": [
            {one["token"]: one["logprob"] for one in (_one(tokenizer, *best) for best in found.best)}
            for found in logprobs
        ],
        "text_offset": offsets,
    }
