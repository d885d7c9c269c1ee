"""What a step does: run the model on the scheduled tokens, draw the next ones, check the guesses, guess again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from centime.serve.engine.generation import Generation
from centime.serve.engine.pages import Span
from centime.serve.engine.request import Finish, Piece, TokenLogprob
from centime.serve.engine.runner import Runner
from centime.serve.engine.sampler import logprobs, sample
from centime.serve.engine.scheduler import Scheduler, Work

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Ending:
    """Why an answer is over; `stop` is what stopped it, `error` a sentence."""

    reason: Finish
    stop: str | int | None = None
    error: str | None = None


Outcome = tuple[Generation, Piece | Ending]


class Stepper:
    """Turns scheduled work into outcomes. `drafted` tokens were guessed by MTP, `accepted` of them came true."""

    def __init__(self, runner: Runner, scheduler: Scheduler, tokenizer: Tokenizer, drafting: bool) -> None:
        self.runner, self.scheduler, self.tokenizer, self.drafting = runner, scheduler, tokenizer, drafting
        self.drafted = self.accepted = 0
        self._vocabulary = min(tokenizer.vocab_size, runner.model.config.vocab_size)

    def run(self, work: Sequence[Work]) -> list[Outcome]:
        """Computes all tokens of the step. Raises UserError when logits are not numbers."""
        hidden = self.runner.hidden([item.span for item in work], [token for item in work for token in item.tokens])
        rows, at = list[int](), 0
        for item in work:
            at += item.span.count
            rows += range(at - item.draws, at)
        drawn = self._draw(work, hidden[rows]) if rows else []
        outcomes, at = list[Outcome](), 0
        for item in work:
            outcomes += self._accept(item, drawn[at : at + item.draws])
            at += item.draws
        if self.drafting:
            self._guess(work, hidden, {id(generation) for generation, event in outcomes if isinstance(event, Ending)})
        return outcomes

    def _draw(self, work: Sequence[Work], hidden_RD: Tensor) -> list[tuple[int, Tensor]]:
        """A token for every row, and the row's logits."""
        logits = self.runner.logits(hidden_RD)[:, : self._vocabulary]
        draws = [item.generation.draw(guesses) for item in work for guesses in range(item.draws)]
        chosen = sample(logits, draws, self._allowed(work, len(draws)))
        return list(zip(chosen.tolist(), logits, strict=True))

    def _allowed(self, work: Sequence[Work], rows: int) -> Tensor | None:
        """What grammars admit, bool [R, V]; None when no request has one. Those have no drafts, so one row each."""
        if not any(item.draws and item.generation.request.constraint for item in work):
            return None
        bits = torch.full((rows, -(-self.runner.model.config.vocab_size // 32)), -1, dtype=torch.int32)
        row = 0
        for item in work:
            constraint = item.generation.request.constraint
            if item.draws and constraint is not None:
                constraint.fill(bits[row])
            row += item.draws
        each = bits[:, :, None] >> torch.arange(32, dtype=torch.int32) & 1
        return each.flatten(1)[:, : self._vocabulary].bool()

    def _accept(self, item: Work, drawn: Sequence[tuple[int, Tensor]]) -> list[Outcome]:
        """Takes the drawn tokens as far as the draft foresaw them, and one more.

        The draft is a single guess, so drawing from the model's own distribution and keeping the guess when it is what
        was drawn is speculative sampling with exact acceptance (arXiv 2211.17192, section 2.3, q a point mass).
        """
        generation = item.generation
        if not drawn:
            self.scheduler.computed(generation, item.span.end)
            return []
        draft, generation.draft = generation.draft[: item.draws - 1], []
        params = generation.request.params
        taken, text, reported = list[int](), "", list[TokenLogprob]()
        ending: Ending | None = None
        known = item.span.end - len(draft)  # computed because they are there, not because they may be
        kept = 0  # guesses that came true
        for place, (token, logits) in enumerate(drawn):
            before = len(generation.tokens)
            ending, piece = self._put(generation, token)
            text += piece
            if len(generation.tokens) > before:  # an end token is not part of the answer
                taken.append(token)
                if params.logprobs is not None:
                    reported.append(logprobs(logits, token, params.logprobs))
            if ending is not None or place == len(draft) or token != draft[place]:
                break
            kept += 1
        generation.drafted += len(draft)
        generation.accepted += kept
        self.drafted += len(draft)
        self.accepted += kept
        self.scheduler.computed(generation, min(known + kept, len(generation.tokens)))
        if generation.first_token_ns is None:
            generation.first_token_ns = time.monotonic_ns()
        outcomes: list[Outcome] = [(generation, Piece(text, tuple(taken), tuple(reported)))] if text or taken else []
        return outcomes if ending is None else [*outcomes, (generation, ending)]

    def _put(self, generation: Generation, token: int) -> tuple[Ending | None, str]:
        """One more token of the answer: why it ends here, if it does, and the text that is certain now."""
        params, constraint, text = generation.request.params, generation.request.constraint, generation.text
        if token == self.tokenizer.eos_id and not params.ignore_eos:
            return Ending("end"), text.finish()
        if token in params.stop_token_ids:
            return Ending("stop", token), text.finish()
        generation.tokens.append(token)
        piece = text.push(token)
        if text.stopped:
            return Ending("stop", text.found), piece
        over: Ending | None = None
        if constraint is not None:
            constraint.accept(token)
            if constraint.finished:
                over = Ending("end")
        if over is None and len(generation.tokens) - generation.prompt_length >= generation.room:
            over = Ending("length")
        if over is not None:
            piece += text.finish()
            if text.stopped:  # completed only by the last, unfinished character
                over = Ending("stop", text.found)
        return over, piece

    def _guess(self, work: Sequence[Work], hidden_ND: Tensor, over: set[int]) -> None:
        """MTP's entries for all that was computed, and a guess for each request that goes on decoding.

        The last entry of a prefix depends on the token after it, and another request may share the prefix and go on
        otherwise. Its guesses may be the worse for it; its answer is not, for every guess is checked.
        """
        spans, following, states, rows = list[Span](), list[int](), list[int](), list[int]()
        guessing, first = list[Generation](), 0
        for item in work:
            generation, start = item.generation, item.span.start
            if id(generation) not in over:
                valid = min(generation.computed, item.span.end) - start
                spans.append(Span(generation.table, start, valid))
                following += generation.tokens[start + 1 : start + 1 + valid]
                states += range(first, first + valid)
                left = generation.room - (len(generation.tokens) - generation.prompt_length)
                if item.draws and generation.request.constraint is None and left > 1:
                    rows.append(len(states) - 1)
                    guessing.append(generation)
            first += item.span.count
        if spans:
            found = self.runner.guesses(spans, hidden_ND[states], following, rows)
            for generation, token in zip(guessing, found.tolist(), strict=True):
                generation.draft = [token]
