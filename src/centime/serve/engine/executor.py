"""What a step does: run the model on the scheduled tokens, draw the next ones, check the guesses, guess again.

What requests share is the model. All that runs for one of them alone (its grammar, penalties, text) may raise without
harm to the others: it ends that request. So may the shared work: it is then done again for each by itself.

Letters of shapes: T tokens of a step, R rows that are drawn from, N of either, D the model's width, V the vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from centime.errors import UserError
from centime.ops.finite import is_finite
from centime.serve.engine.draws.drawer import NOT_FINITE, Drawer, RequestPart
from centime.serve.engine.draws.sampler import log_probabilities
from centime.serve.engine.generation import Generation
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.engine.outcome import Ending, Outcome, ending_of, isolated
from centime.serve.engine.request import DrawRecord, Piece, PromptLogprobs, TokenLogprob
from centime.serve.engine.scheduler import ScheduledWork
from centime.serve.faults import report
from centime.serve.kv_cache.paged_cache import TokenSpan

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

SCORED_TOGETHER = 64  # rows of logits of a prompt that are in memory at once


class Executor:
    """Turns scheduled work into outcomes. `drafted` tokens were guessed by MTP, `accepted` of them came true."""

    def __init__(self, runner: ModelRunner, tokenizer: Tokenizer, drafting: bool) -> None:
        self.runner, self.drawer = runner, Drawer(runner)
        self.tokenizer, self.drafting = tokenizer, drafting
        self.drafted = self.accepted = 0

    def run(self, work: Sequence[ScheduledWork]) -> list[Outcome]:
        """Computes all tokens of the step, and what comes of it, every request by itself."""
        outcomes, parts = list[Outcome](), list[RequestPart]()

        def settle(results: Sequence[RequestPart | Exception], owners: Sequence[ScheduledWork]) -> list[RequestPart]:
            for result, item in zip(results, owners, strict=True):
                if isinstance(result, Exception):
                    outcomes.append((item.generation, ending_of(result)))
            return [result for result in results if isinstance(result, RequestPart)]

        parts = settle(isolated(work, self._forward), work)
        for part in parts:
            part.work.generation.reached = max(part.work.generation.reached, part.work.span.end)
        drawing = [part for part in parts if part.work.draws]
        drawn = {id(part) for part in settle(isolated(drawing, self.drawer.draw), [part.work for part in drawing])}
        parts = [part for part in parts if not part.work.draws or id(part) in drawn]
        for part in parts:
            outcomes += self._settled(part)
        over = {id(generation) for generation, event in outcomes if isinstance(event, Ending)}
        self._write(parts, over)
        return outcomes

    def _forward(self, work: Sequence[ScheduledWork]) -> list[RequestPart]:
        """The hidden states of every request's tokens. Raises UserError where they are no numbers."""
        hidden_ND = self.runner.hidden([item.span for item in work], [token for item in work for token in item.tokens])
        if not is_finite(hidden_ND):
            raise UserError(NOT_FINITE)
        parts, at = list[RequestPart](), 0
        for item in work:
            parts.append(RequestPart(item, hidden_ND, at))
            at += item.span.count
        return parts

    def _settled(self, part: RequestPart) -> list[Outcome]:
        """What comes of a part; of one that raises, its end."""
        generation = part.work.generation
        try:
            return [*self._score_prompt(part), *self._accept(part)]
        except Exception as error:
            return [(generation, ending_of(error))]

    def _score_prompt(self, part: RequestPart) -> list[Outcome]:
        """Log-probabilities of the prompt's tokens that follow those of this part."""
        generation, start = part.work.generation, part.work.span.start
        if not generation.scores_prompt:
            return []
        best = generation.request.params.prompt_logprobs or 0
        first, end = max(start, generation.scored - 1), min(part.work.span.end, generation.prompt_length - 1)
        found = list[TokenLogprob]()
        for at in range(first, end, SCORED_TOGETHER):
            after = min(at + SCORED_TOGETHER, end)
            logits_RV = self.drawer.logits(part.hidden_TD[at - start : after - start])
            found += log_probabilities(logits_RV, generation.tokens[at + 1 : after + 1], best)
        generation.scored = max(generation.scored, end + 1)
        return [(generation, PromptLogprobs(tuple(found)))] if found else []

    def _accept(self, part: RequestPart) -> list[Outcome]:
        """Takes the drawn tokens as far as the draft foresaw them, and one more.

        The draft is a single guess, so drawing from the model's own distribution and keeping the guess when it is what
        was drawn is speculative sampling with exact acceptance (arXiv 2211.17192, section 2.3, q a point mass).
        """
        item, generation = part.work, part.work.generation
        if not part.drawn:
            generation.computed = item.span.end
            over = generation.room == 0 and generation.pending == 0
            return [(generation, Ending("length"))] if over else []
        draft, generation.draft = generation.draft[: item.draws - 1], []
        taken, text = list[int](), ""
        ending: Ending | None = None
        known = item.span.end - len(draft)  # computed because they are there, not because they may be
        kept = 0  # guesses that came true
        for place, token in enumerate(part.drawn):
            before = len(generation.tokens)
            ending, piece = self._put(generation, token)
            text += piece
            if len(generation.tokens) > before:  # an end token is not part of the answer
                taken.append(token)
            if ending is not None or place == len(draft) or token != draft[place]:
                break
            kept += 1
        generation.drafted += len(draft)
        generation.accepted += kept
        self.drafted += len(draft)
        self.accepted += kept
        generation.computed = min(known + kept, len(generation.tokens))
        if generation.first_token_ns is None:
            generation.first_token_ns = time.monotonic_ns()
        params = generation.request.params
        # who scores a prompt counts from the end, and finds it by an entry for every draw: an end token has one too
        shown = taken if params.prompt_logprobs is None else list(part.drawn[: place + 1])
        reported = () if params.logprobs is None else tuple(part.logprobs[: len(shown)])
        if generation.request.record is not None:
            _keep(generation.request.record, part, place + 1)
        answered = Piece(text, tuple(taken), reported)
        outcomes: list[Outcome] = [(generation, answered)] if text or taken or reported else []
        return outcomes if ending is None else [*outcomes, (generation, ending)]

    def _put(self, generation: Generation, token: int) -> tuple[Ending | None, str]:
        """One more token of the answer: why it ends here, if it does, and the text that is certain now."""
        params, constraint, text = generation.request.params, generation.request.constraint, generation.text
        # where a grammar lets an answer end, nothing can follow: it is told of no end token
        if token in self.tokenizer.end_ids and (constraint is not None or not params.ignore_eos):
            return Ending("end"), text.finish()
        if token in params.stop_token_ids:
            return Ending("stop", token), text.finish()
        generation.tokens.append(token)
        generation.logits_processor.add(token)
        piece = text.push(token)
        if text.stopped:
            return Ending("stop", text.found), piece
        over: Ending | None = None
        if constraint is not None:
            constraint.accept(token)
            if constraint.finished:
                over = Ending("end")
        if over is None and generation.output_length >= generation.room:
            over = Ending("length")
        if over is not None:
            piece += text.finish()
            if text.stopped:  # completed only by the last, unfinished character
                over = Ending("stop", text.found)
        return over, piece

    def _write(self, parts: Sequence[RequestPart], over: set[int]) -> None:
        """Marks what is written in all layers; with MTP, writes its entries of what was computed, and guesses on.

        The entry of a token depends on the token after it, so that of an answer that ended the last one is not written,
        nor a block known that it would complete. Where the prefix in a block is shared, another request may go on
        otherwise than the one that wrote its last entry. Its guesses may be the worse for it; its answer is not, for
        every guess is checked.
        """
        if not self.drafting:
            for part in parts:
                part.work.generation.written = part.work.generation.computed
            return
        try:
            self._guess(parts, over)
        except Exception as error:  # guesses are for speed: the answers go on, and what lacks its entries stays unknown
            report(error, "MTP's guesses failed; answers go on without them")

    def _guess(self, parts: Sequence[RequestPart], over: set[int]) -> None:
        spans, following, states = list[TokenSpan](), list[int](), list[Tensor]()
        written, guessing, rows, at = list[Generation](), list[Generation](), list[int](), 0
        for part in parts:
            generation, start = part.work.generation, part.work.span.start
            valid = min(generation.computed, len(generation.tokens) - 1) - start
            last = start + valid
            if id(generation) in over:  # only what completes a block is of use to anybody
                last -= last % self.runner.pages.size
            if last <= start or generation.written < start:
                continue
            spans.append(TokenSpan(generation.table, start, last - start))
            following += generation.tokens[start + 1 : last + 1]
            states.append(part.hidden_TD[: last - start])
            written.append(generation)
            at += last - start
            left = generation.room - generation.output_length
            if part.work.draws and left > 1 and id(generation) not in over and generation.request.constraint is None:
                rows.append(at - 1)
                guessing.append(generation)
        if not spans:
            return
        found = self.runner.guesses(spans, torch.cat(states), following, rows)
        for generation, span in zip(written, spans, strict=True):
            generation.written = span.end
        for generation, token in zip(guessing, found.tolist(), strict=True):
            generation.draft = [token]


def _keep(record: DrawRecord, part: RequestPart, draws: int) -> None:
    """Adds the first `draws` draws of a part, those of guesses that came true and the one after them."""
    record.tokens += part.drawn[:draws]
    record.logprobs += [found.logprob for found in part.logprobs[:draws]]
    record.drawn_logprobs += part.drawn_logprobs[:draws]
