"""One choice's answer while it comes: told apart into its parts, its reasoning counted, its end named."""

from __future__ import annotations

from typing import Literal

from centime.serve.engine.request import Event, Finished, Piece
from centime.serve.formats import AnswerParser, Delta

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "insufficient_system_resource"]


def finish_reason(end: Finished, *, calls: bool = False) -> FinishReason:
    """Why an answer ended, with calls or without, in the API's words; cut off by the server (it shuts down) is
    DeepSeek's own."""
    if end.reason == "length":
        return "length"
    if end.reason in {"aborted", "failed"}:
        return "insufficient_system_resource"
    return "tool_calls" if calls else "stop"


class Answer:
    """Feed it the engine's pieces and end; `think_end` is the token that ends the model's reasoning."""

    def __init__(self, parser: AnswerParser, think_end: int | None) -> None:
        self._parser, self._think_end = parser, think_end
        self.reasoning_tokens = 0
        self.calls = 0

    def deltas(self, event: Event) -> list[Delta]:
        """What an event of the engine adds to the answer."""
        if isinstance(event, Finished):
            return self.end(event)
        return self.take(event) if isinstance(event, Piece) else []

    def take(self, piece: Piece) -> list[Delta]:
        """What this piece adds."""
        if self.reasons:
            ends = [at for at, token in enumerate(piece.tokens) if token == self._think_end]
            self.reasoning_tokens += ends[0] + 1 if ends else len(piece.tokens)
        return self._counted(self._parser.feed(piece.text))

    def end(self, end: Finished) -> list[Delta]:
        """What was held back, the answer being over; what one that was cut off has of a marker is nobody's."""
        return self._counted(self._parser.finish(cut=end.reason != "end"))

    @property
    def reasons(self) -> bool:
        """Whether what comes now is reasoning."""
        return self._parser.now == "reasoning"

    def finish_reason(self, end: Finished) -> FinishReason:
        """Why it ended, in the API's words."""
        return finish_reason(end, calls=self.calls > 0)

    def _counted(self, deltas: list[Delta]) -> list[Delta]:
        self.calls += sum(delta.kind == "call" for delta in deltas)
        return deltas
