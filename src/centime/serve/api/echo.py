"""A prompt returned before its answer, with the log-probabilities of its tokens where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from centime.serve.api.logprobs import PlacedToken, place_prompt

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer
    from centime.serve.engine.request import TokenLogprob

PART = 64  # tokens that are given out at a time: an event of a stream stays small, and other answers get their turn


class Echo:
    """One prompt's text, given out part by part as (text, tokens) while the log-probabilities come.

    The first token has none, since nothing stands before it. `over`: all of the text is out.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str | list[int], ids: Sequence[int], scored: bool) -> None:
        self._text = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
        self.length = len(self._text)
        self._scored = scored
        text_begins = isinstance(prompt, list) or prompt.startswith(str(tokenizer.bos_token))
        begun = ids[0] == tokenizer.bos_id and not text_begins
        self._places = place_prompt(tokenizer, self._text, ids, begun) if scored else []
        self._next = 0  # the first token that is not out
        self.over = False

    def begin(self) -> Iterator[tuple[str, list[PlacedToken]]]:
        """What needs no log-probabilities: all of the text where none are asked for, else the first token's."""
        if self._scored:
            yield self._part([None])
        else:
            self.over = True
            yield self._text, []

    def take(self, logprobs: Sequence[TokenLogprob]) -> Iterator[tuple[str, list[PlacedToken]]]:
        """The next tokens."""
        for start in range(0, len(logprobs), PART):
            yield self._part(logprobs[start : start + PART])

    def cut(self) -> Iterator[tuple[str, list[PlacedToken]]]:
        """The rest of the text, of an answer that ended before its prompt was computed."""
        yield self._part([None] * (len(self._places) - self._next))

    def _part(self, found: Sequence[TokenLogprob | None]) -> tuple[str, list[PlacedToken]]:
        places = self._places[self._next : self._next + len(found)]
        self._next += len(found)
        self.over = self._next == len(self._places)
        return "".join(text for text, _ in places), [
            PlacedToken(text, offset, one) for (text, offset), one in zip(places, found, strict=True)
        ]
