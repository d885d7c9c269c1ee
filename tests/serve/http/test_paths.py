"""Which words a path answers in."""

from __future__ import annotations

import pytest

from centime.serve.http.errors import ApiError
from centime.serve.http.paths import PATHS, dialect, paths_of


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/messages/batches", "anthropic"),
        ("/anthropic/v1/messages", "anthropic"),
        ("/anthropic/v1/nothing", "anthropic"),
        ("/v1/messagesque", "openai"),
        ("/v1/chat/completions", "openai"),
        ("/tokenize", "openai"),
        ("/", "openai"),
    ],
)
def test_errors_are_told_in_the_words_of_the_path(path: str, words: str) -> None:
    assert dialect(path) == words
    body = ApiError(402, "No money.").body(path)
    assert body.get("type") == ("error" if words == "anthropic" else None)
    assert body["error"]["type"] == ("billing_error" if words == "anthropic" else "unknown_error")


def test_each_path_has_one_kind_and_each_kind_a_path() -> None:
    assert {path for kind in set(PATHS.values()) for path in paths_of(kind)} == set(PATHS)
    assert paths_of("messages")[0] == "/anthropic/v1/messages"
