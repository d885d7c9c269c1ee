"""Log-probabilities as the two APIs report them: a list of tokens for chats, parallel lists for completions."""

from __future__ import annotations

import codecs
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from centime.serve.token_bytes import token_bytes

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer
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
    """Parallel lists, one entry a token; null for a token that nothing stands before.

    tokens: the text that each adds, which joined are the text: '' for one that ends within a character, and for a
    begin or end token that the text does not show. text_offset: characters of the text before it. top_logprobs: the
    likeliest tokens and the one that stands there, that one by its entry in `tokens`.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
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


@dataclass(frozen=True)
class PlacedToken:
    """A token in a text: what it adds to it, how many characters stand before, its log-probability if it has one."""

    text: str
    offset: int
    found: TokenLogprob | None


def for_completion(tokenizer: Tokenizer, placed: Sequence[PlacedToken]) -> CompletionLogprobs:
    """The same as parallel lists."""
    return {
        "tokens": [one.text for one in placed],
        "token_logprobs": [None if one.found is None else max(one.found.logprob, FLOOR) for one in placed],
        "top_logprobs": [None if one.found is None else _top(tokenizer, one.text, one.found) for one in placed],
        "text_offset": [one.offset for one in placed],
    }


def _top(tokenizer: Tokenizer, text: str, found: TokenLogprob) -> dict[str, float]:
    """Likeliest first; of several tokens that are spelled alike the likeliest, but never in the place of `found`."""
    top: dict[str, float] = {}
    for token, logprob in found.best:
        raw = token_bytes(tokenizer, token)
        name = text if token == found.token else _spelled(raw)
        if name == text and token != found.token:
            name = _as_bytes(raw)
        top.setdefault(name, max(logprob, FLOOR))
    top[text] = max(found.logprob, FLOOR)
    return top


def _spelled(raw: bytes) -> str:
    """A token by itself; part of a character as its bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _as_bytes(raw)


def _as_bytes(raw: bytes) -> str:
    r"""As OpenAI's API writes a token that is no text: 'bytes:\xf0\x9f'."""
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


class Pieces:
    """The text that each of a row of tokens adds: a character belongs to the token that completes it.

    Broken characters come out as U+FFFD, as a decoder of the whole row writes them.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def next(self, token: int) -> str:
        """Of one more token."""
        return self._decoder.decode(token_bytes(self._tokenizer, token))

    @property
    def within_character(self) -> bool:
        """Whether the last token ended inside a character."""
        return bool(self._decoder.getstate()[0])


_Entry = tuple["TokenLogprob", int]  # and how many characters it adds
_Group = list[_Entry]


def place_prompt(tokenizer: Tokenizer, text: str, ids: Sequence[int], begun: bool) -> list[tuple[str, int]]:
    """(text, offset) of each token of a prompt whose text is given. begun: its first token is not in the text.

    Where a tokenizer does not give a text back as it was (it normalizes), the last token has what is left.
    """
    pieces, last, at = Pieces(tokenizer), len(ids) - 1, 0
    placed = [("", 0)] if begun else []
    for number in range(len(placed), len(ids)):
        piece = pieces.next(ids[number])
        end = len(text) if number == last else min(at + len(piece), len(text))
        placed.append((text[at:end], at))
        at = end
    return placed


class Placing:
    """Places an answer's tokens in its text while both come. Tokens wait for all the text that they add.

    `offset` is where the answer begins.
    """

    def __init__(self, tokenizer: Tokenizer, offset: int) -> None:
        self._pieces = Pieces(tokenizer)
        self._offset = offset  # of the first token that waits
        self._text = ""  # what is out after that
        self._whole: deque[_Group] = deque()
        self._open: _Group = []  # within a character

    def take(self, text: str, logprobs: Sequence[TokenLogprob]) -> list[PlacedToken]:
        """The tokens whose text is out, this piece's text included."""
        for found in logprobs:
            self._open.append((found, len(self._pieces.next(found.token))))
            if not self._pieces.within_character:
                self._whole.append(self._open)
                self._open = []
        self._text += text
        ready, room = list[_Entry](), len(self._text)
        while self._whole and (length := sum(length for _, length in self._whole[0])) <= room:
            ready += self._whole.popleft()
            room -= length
        return self._place(ready)

    def end(self) -> list[PlacedToken]:
        """The tokens that still wait; what they add may be cut by a stop string, or end in a broken character."""
        rest = [*itertools.chain.from_iterable(self._whole), *self._open]
        if rest:
            rest[-1] = (rest[-1][0], len(self._text))
        return self._place(rest)

    def _place(self, entries: Sequence[_Entry]) -> list[PlacedToken]:
        placed, at = [], 0
        for found, length in entries:
            text = self._text[at : at + length]
            placed.append(PlacedToken(text, self._offset + at, found))
            at += len(text)
        self._text = self._text[at:]
        self._offset += at
        return placed
