"""The paths that ask something of a model, what each of them is, and in whose words it answers: for both applications.

OpenAI's and DeepSeek's clients put their base URL before /chat/completions, with or without /v1 and /beta; Anthropic's
put theirs before /v1/messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fastapi import APIRouter

Kind = Literal["chat", "completions", "messages", "count_tokens", "tokenize", "embeddings", "responses"]
Dialect = Literal["openai", "anthropic"]

PATHS: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/beta/chat/completions": "chat",
    "/beta/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/completions": "completions",
    "/beta/completions": "completions",
    "/beta/v1/completions": "completions",
    "/anthropic/v1/messages": "messages",
    "/v1/messages": "messages",
    "/anthropic/v1/messages/count_tokens": "count_tokens",
    "/v1/messages/count_tokens": "count_tokens",
    "/tokenize": "tokenize",
    "/v1/embeddings": "embeddings",
    "/embeddings": "embeddings",
    "/v1/responses": "responses",
    "/responses": "responses",
}
"""path -> what it is. Of each kind the first path is the one to document."""


def paths_of(kind: Kind) -> list[str]:
    """The paths of one kind, the one to document first."""
    return [path for path, one in PATHS.items() if one == kind]


def post(router: APIRouter, kind: Kind, **described: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates what answers a kind: at all its paths, the first of them in the API's description."""

    def routed(answers: Callable[..., Any]) -> Callable[..., Any]:
        first, *others = paths_of(kind)
        router.add_api_route(first, answers, methods=["POST"], **described)
        for path in others:  # without what the description alone needs, whose models take most of a server's start
            plain = {key: value for key, value in described.items() if key != "responses"}
            router.add_api_route(path, answers, methods=["POST"], include_in_schema=False, **plain)
        return answers

    return routed


def dialect(path: str) -> Dialect:
    """Whose words a path answers in, its errors too; a path that does not exist is told by where it would be."""
    theirs = path == "/v1/messages" or path.startswith(("/anthropic/", "/v1/messages/"))
    return "anthropic" if theirs else "openai"
