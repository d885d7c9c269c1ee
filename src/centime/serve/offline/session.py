"""Answers without a server: one conversation at a time over the engine, and greedy batches for generated tasks.

The path behind `centime generate`, `centime chat` and the samples of training; `centime serve` runs the same engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from centime.errors import UserError
from centime.model import Transformer
from centime.serve.engine.engine import Engine
from centime.serve.engine.request import Event, Finished, Piece, Request, SamplingParams
from centime.serve.engine.settings import EngineSettings

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

Finish = Literal["end", "stop", "max-tokens", "context", "interrupted"]
ALONE = EngineSettings(max_running=1, max_waiting=1, block_tokens=16)


@dataclass(frozen=True)
class GeneratedAnswer:
    """One answer and what it took. Times in seconds; `reused_tokens` of the prompt were in the cache already.

    finish: "end" (the model ended it), "stop" (a stop string), "max-tokens", "context" (no position left) or
    "interrupted" (Ctrl-C). accepted_tokens of the drafted_tokens that MTP modules proposed were kept.
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    reused_tokens: int
    finish: Finish
    prefill_seconds: float
    decode_seconds: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens after the first per second; 0 when there was no second one."""
        steps = len(self.tokens) - (self.finish != "end")  # an end-of-text token was drawn too
        return steps / self.decode_seconds if steps > 0 and self.decode_seconds > 0 else 0.0


class Session:
    """An engine for one answer at a time; its prefix cache lasts from answer to answer.

    A prompt that begins with what the cache holds (the next turn of a chat) is computed only from where it differs.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._engine = Engine(model, tokenizer, ALONE)
        self.context = self._engine.context

    def answer(
        self, prompt: Sequence[int], params: SamplingParams, *, write: Callable[[str], None] = lambda piece: None
    ) -> GeneratedAnswer:
        """Generates after the token ids `prompt`, giving each piece of text to `write` as soon as it is certain.

        Raises UserError on an empty or too long prompt, tokens the model does not know, logits that are not numbers.
        Ctrl-C ends the answer, not the program.
        """
        if params.max_tokens == 0:
            raise UserError("max_tokens is 0 and leaves no room for an answer; give at least 1.")
        events: list[Event] = []
        request = Request(prompt, params, events.append)
        self._engine.submit(request)
        handed_out = 0
        try:
            while not events or not isinstance(events[-1], Finished):
                self._engine.step()
                for event in events[handed_out:]:
                    handed_out += 1
                    if isinstance(event, Piece) and event.text:
                        write(event.text)
        except KeyboardInterrupt:  # it may have struck anywhere within a step
            self._engine = Engine(self.model, self.tokenizer, ALONE)
            return _answer(request, events, interrupted=True)
        return _answer(request, events)


def _answer(request: Request, events: Sequence[Event], interrupted: bool = False) -> GeneratedAnswer:
    """The events of a request as one answer."""
    pieces = [event for event in events if isinstance(event, Piece)]
    tokens = [token for piece in pieces for token in piece.tokens]
    answer = GeneratedAnswer(
        "".join(piece.text for piece in pieces), tokens, len(request.prompt), 0, "interrupted", 0.0, 0.0
    )
    last = events[-1] if events else None
    if interrupted or not isinstance(last, Finished):
        return answer
    if last.error is not None:
        raise UserError(last.error)
    full = "max-tokens" if len(tokens) == request.params.max_tokens else "context"
    reasons: dict[str, Finish] = {"end": "end", "stop": "stop", "length": full}  # type: ignore[dict-item]
    usage = last.usage
    first = usage.first_token_ns - usage.queued_ns
    return dataclasses.replace(
        answer,
        reused_tokens=usage.hit_tokens,
        finish=reasons[last.reason],
        prefill_seconds=first / 1e9,
        decode_seconds=(usage.total_ns - usage.first_token_ns) / 1e9,
        drafted_tokens=usage.drafted_tokens,
        accepted_tokens=usage.accepted_tokens,
    )


def greedy(
    model: Transformer,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    batch_size: int = 64,
) -> list[list[int]]:
    """The most likely continuation of every prompt, up to the tokenizer's end token (not included) or `max_tokens`; in
    the prompts' order, at most `batch_size` of them at a time.

    Raises UserError when a prompt is empty or leaves no room for `max_tokens` in the context.
    """
    longest, positions = max(map(len, prompts), default=1), model.config.max_position_embeddings
    if min(map(len, prompts), default=1) == 0:
        raise UserError("a prompt is empty; give at least one token.")
    if longest + max_tokens > positions:
        raise UserError(
            f"a prompt of {longest} tokens and an answer of {max_tokens} need more than the model's {positions} "
            "positions; shorten one of them."
        )
    was_training = model.training
    engine = Engine(model, tokenizer, EngineSettings(max_running=batch_size, max_waiting=len(prompts)))
    params = SamplingParams(max_tokens=max_tokens, temperature=0.0)
    events: list[list[Event]] = [[] for _ in prompts]
    requests = [Request(prompt, params, own.append) for prompt, own in zip(prompts, events, strict=True)]
    for request in requests:
        engine.submit(request)
    while engine.step():
        pass
    model.train(was_training)
    return [_answer(request, own).tokens for request, own in zip(requests, events, strict=True)]
