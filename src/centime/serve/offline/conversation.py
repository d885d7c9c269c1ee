"""A conversation: turns rendered with the tokenizer's chat template, answered over one cache."""

from __future__ import annotations

from collections.abc import Callable

from centime.data.tokenizers import ChatEncoder
from centime.errors import UserError
from centime.serve.engine.request import SamplingParams
from centime.serve.offline.session import GeneratedAnswer, Session


class Conversation:
    """Messages so far and the session that answers them. Raises UserError when the tokenizer has no chat template."""

    def __init__(self, session: Session, system: str | None = None) -> None:
        self.session = session
        self._encoder = ChatEncoder(session.tokenizer)
        self._system = [{"role": "system", "content": system}] if system else []
        self._turns: list[dict[str, str]] = []  # user, assistant, user, ...
        self._render([*self._system, {"role": "user", "content": "?"}])

    @property
    def messages(self) -> list[dict[str, str]]:
        """The system message, if any, and every turn that is still remembered."""
        return self._system + self._turns

    def clear(self) -> None:
        """Forgets every turn; the system message stays."""
        self._turns = []

    def say(
        self, text: str, params: SamplingParams, *, write: Callable[[str], None] = lambda piece: None
    ) -> tuple[GeneratedAnswer, int]:
        """The answer to `text`, and how many of the oldest exchanges were forgotten to make room for it.

        Exchanges are forgotten while fewer positions than max_tokens, or a quarter of the context if that is less,
        are left for the answer. Raises UserError, with the conversation as it was, when `text` alone is too long.
        """
        room = min(params.max_tokens, max(1, self.session.context // 4))
        said = {"role": "user", "content": text}
        kept, forgotten = list(self._turns), 0
        ids = self._render([*self._system, *kept, said])
        while kept and len(ids) + room > self.session.context:
            kept, forgotten = kept[2:], forgotten + 1
            ids = self._render([*self._system, *kept, said])
        if len(ids) >= self.session.context:
            raise UserError(
                f"the message makes a prompt of {len(ids):,} tokens and the model has {self.session.context:,} "
                "positions; write a shorter one."
            )
        answer = self.session.answer(ids, params, write=write)
        self._turns = [*kept, said, {"role": "assistant", "content": answer.text}]
        return answer, forgotten

    def _render(self, messages: list[dict[str, str]]) -> list[int]:
        return self._encoder.ids(messages, add_generation_prompt=True)
