"""The engine: a thread that goes step by step. A step is: schedule, run, draw, hand out; then the time is shared.

Requests come in through `submit` from any thread, events go out through each request's `deliver`. Without work the
thread sleeps on a condition and takes no processor time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import torch
from torch import Tensor

from centime.errors import UserError
from centime.model import Transformer
from centime.plan.counts import count
from centime.serve.engine.blocks import BlockPool
from centime.serve.engine.generation import Generation
from centime.serve.engine.pages import Pages, Span
from centime.serve.engine.request import Finish, Piece, Request, TokenLogprob
from centime.serve.engine.runner import SCRATCH, DeterministicRunner, Runner
from centime.serve.engine.sampler import logprobs, sample
from centime.serve.engine.scheduler import Scheduler, Work
from centime.serve.engine.settings import EngineSettings
from centime.serve.engine.shares import split
from centime.serve.text import TextStream

if TYPE_CHECKING:
    from centime.data.tokenizer import Tokenizer

WINDOW_NS = 5_000_000_000  # over which "now" is measured


class QueueFull(Exception):
    """As many requests wait as may; come back later."""


@dataclass(frozen=True)
class EngineStats:
    """The engine now, and since it started. Times in nanoseconds; requests' and idle time add up to the wall-clock."""

    running: int
    waiting: int
    blocks: int
    blocks_used: int  # by requests in progress
    blocks_cached: int  # free, but still findable
    block_tokens: int
    cache_bytes: int
    steps: int
    preemptions: int
    finished: int
    prompt_tokens: int
    hit_tokens: int
    output_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    busy_ns: int
    idle_ns: int
    output_tokens_per_s: float  # over the last seconds
    computed_tokens_per_s: float


class Engine:
    """Serves one model. `start` it, `submit` requests, `stop` it; or let a test call `step` itself."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.model, self.tokenizer = model.eval(), tokenizer
        config, weight = model.config, model.head_weight
        size = self.settings.block_tokens
        room = self.settings.cache_bytes or _default_cache_bytes(weight.device)
        count_ = room // (Pages.token_bytes(config, weight.dtype) * size)
        most = self.settings.max_running * -(-config.max_position_embeddings // size)
        count_ = min(count_, most) + 1  # and the scratch block
        if count_ < 3:
            raise UserError(
                f"a cache of {room:,} bytes holds no two blocks of {size} tokens of this model "
                f"({Pages.token_bytes(config, weight.dtype):,} bytes a token); give more cache memory."
            )
        self.pages = Pages(config, count_, size, weight.dtype, weight.device)
        self.pool = BlockPool(count_, size)
        assert self.pool.take(1) == [SCRATCH]
        self.context = min(config.max_position_embeddings, (count_ - 1) * size)
        self.scheduler = Scheduler(self.pool, self.pages, self.settings.step_tokens, self.settings.max_running)
        self.runner = (DeterministicRunner if self.settings.deterministic else Runner)(model, self.pages)
        self._drafting = self.settings.drafts and config.num_nextn_predict_layers > 0
        counts = count(config, 1)
        self._token_work = max(1, round(counts.forward_flops_per_token))
        longer = count(config, 3)  # causal: a token of three sees one key more, in the mean, than a token alone
        self._read_work = max(1, round(longer.forward_flops_per_token - counts.forward_flops_per_token))
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._incoming: deque[Generation] = deque()
        self._aborts: set[int] = set()
        self._draining = self._stopping = False
        self._thread: threading.Thread | None = None
        self._clock_ns = time.monotonic_ns()  # until here the wall-clock is shared out
        self._busy_ns = self._idle_ns = self._steps = self._finished = 0
        self._prompt = self._hits = self._output = self._drafted = self._accepted = 0
        self._recent: deque[tuple[int, int, int]] = deque()  # (when, tokens computed, tokens put out)
        self._outbox: list[tuple[Generation, Piece | tuple[Finish, str | int | None, str | None]]] = []

    # -- from any thread

    def start(self) -> None:
        """Starts the thread."""
        self._clock_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._loop, name="centime-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Takes a request in. Raises UserError on a prompt it cannot answer, QueueFull when too many wait."""
        prompt, vocabulary = request.prompt, self.model.config.vocab_size
        if not prompt:
            raise UserError("the prompt has no token; give at least one character.")
        if len(prompt) >= self.context:
            raise UserError(
                f"the prompt is {len(prompt):,} tokens long and this server's context is {self.context:,}, one of "
                "which the answer needs; shorten the prompt."
            )
        if max(prompt) >= vocabulary or min(prompt) < 0:
            raise UserError(f"the prompt has token {max(prompt)}; this model knows ids from 0 to {vocabulary - 1}.")
        room = min(request.params.max_tokens, self.context - len(prompt))
        text = TextStream(self.tokenizer.decode, request.params.stop)
        with self._wake:
            if self._draining:
                raise QueueFull("the server is shutting down")
            if len(self._incoming) + self.scheduler.waiting >= max(1, self.settings.max_waiting):
                raise QueueFull("too many requests wait")
            self._incoming.append(Generation(request, room, text))
            self._wake.notify()

    def abort(self, request_id: int) -> None:
        """Ends a request before the next step; unknown ids (it may just have finished) are ignored."""
        with self._wake:
            self._aborts.add(request_id)
            self._wake.notify()

    def drain(self) -> None:
        """Takes no new request and waits until those taken in are answered."""
        with self._wake:
            self._draining = True
            self._wake.notify()
            while self._incoming or self.scheduler.running or self.scheduler.waiting:
                self._wake.wait(0.05)

    def stop(self) -> None:
        """Ends the thread; requests still in progress are aborted."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for generation in [*self._incoming, *self.scheduler.all()]:
            generation.request.deliver(generation.finished("aborted"))

    def stats(self) -> EngineStats:
        """A reading; safe while the engine runs."""
        now = time.monotonic_ns()
        recent = [entry for entry in list(self._recent) if entry[0] > now - WINDOW_NS]
        pool = self.pool
        return EngineStats(
            running=len(self.scheduler.running),
            waiting=self.scheduler.waiting + len(self._incoming),
            blocks=len(pool.blocks) - 1,
            blocks_used=len(pool.blocks) - 1 - pool.free,
            blocks_cached=pool.cached,
            block_tokens=pool.size,
            cache_bytes=self.pages.stored.numel() * self.pages.stored.element_size(),
            steps=self._steps,
            preemptions=self.scheduler.preemptions,
            finished=self._finished,
            prompt_tokens=self._prompt,
            hit_tokens=self._hits,
            output_tokens=self._output,
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
            busy_ns=self._busy_ns,
            idle_ns=self._idle_ns,
            output_tokens_per_s=sum(entry[2] for entry in recent) * 1e9 / WINDOW_NS,
            computed_tokens_per_s=sum(entry[1] for entry in recent) * 1e9 / WINDOW_NS,
        )

    # -- the engine's thread

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not (self._stopping or self._incoming or self._aborts or self.scheduler.running):
                    if self.scheduler.waiting:
                        break
                    self._wake.wait()
            self._share([])  # what passed was idle
            if self._stopping:
                return
            self.step()

    def step(self) -> bool:
        """One step; False when there was nothing to compute."""
        self._take_in()
        work = self.scheduler.schedule()
        if work:
            now = time.monotonic_ns()
            for item in work:
                self._begin(item.generation, now)
            try:
                self._run(work)
            except UserError as error:  # logits that are not numbers: nobody in this step can be answered
                for item in work:
                    self._end(item.generation, "failed", error=str(error))
        self._share(work)
        self._hand_out()
        if self.settings.check:
            self.pool.check([[SCRATCH], *(generation.table for generation in self.scheduler.all())])
        return bool(work)

    def _take_in(self) -> None:
        """New requests to the scheduler; aborted ones out of it."""
        with self._wake:
            while self._incoming:
                self.scheduler.add(self._incoming.popleft())
            aborts, self._aborts = self._aborts, set()
        for generation in [g for g in self.scheduler.all() if g.request.id in aborts]:
            self._end(generation, "aborted")

    def _begin(self, generation: Generation, now: int) -> None:
        if generation.begun_ns is None:
            generation.begun_ns = now
            self._prompt += generation.prompt_length
            self._hits += generation.hit_tokens

    def _run(self, work: Sequence[Work]) -> None:
        """Computes, draws, and keeps what came out for `_hand_out`."""
        tokens = [token for item in work for token in item.tokens]
        hidden = self.runner.hidden([item.span for item in work], tokens)
        rows, at = list[int](), 0
        for item in work:
            at += item.span.count
            rows += range(at - item.draws, at)
        drawn = self._draw(work, hidden[rows]) if rows else []
        at, put_out = 0, 0
        for item in work:
            put_out += self._accept(item, drawn[at : at + item.draws])
            at += item.draws
        if self._drafting:
            self._guess(work, hidden)
        self._recent.append((time.monotonic_ns(), len(tokens), put_out))
        while self._recent[0][0] < self._recent[-1][0] - WINDOW_NS:
            self._recent.popleft()

    def _draw(self, work: Sequence[Work], hidden_RD: Tensor) -> list[tuple[int, Tensor]]:
        """A token for every row, and the row's logits."""
        logits = self.runner.logits(hidden_RD)[:, : self.tokenizer.vocab_size]
        draws = [item.generation.draw(guesses) for item in work for guesses in range(item.draws)]
        chosen, _ = sample(logits, draws, self._allowed(work, len(draws)))
        return list(zip(chosen.tolist(), logits, strict=True))

    def _allowed(self, work: Sequence[Work], rows: int) -> Tensor | None:
        """What grammars admit, bool [R, V]; None when no request has one. Those have no drafts, so one row each."""
        if not any(item.draws and item.generation.request.constraint for item in work):
            return None
        V = self.tokenizer.vocab_size
        bits = torch.full((rows, -(-self.model.config.vocab_size // 32)), -1, dtype=torch.int32)
        row = 0
        for item in work:
            constraint = item.generation.request.constraint
            if item.draws and constraint is not None:
                constraint.fill(bits[row])
            row += item.draws
        each = bits[:, :, None] >> torch.arange(32, dtype=torch.int32) & 1
        return each.flatten(1)[:, :V].bool()

    def _accept(self, item: Work, drawn: Sequence[tuple[int, Tensor]]) -> int:
        """Takes the drawn tokens as far as the draft foresaw them, and one more; how many tokens were put out."""
        generation = item.generation
        if not drawn:
            self._computed(generation, item.span.end)
            return 0
        draft, generation.draft = generation.draft[: item.draws - 1], []
        generation.drafted += len(draft)
        taken, text, reported = list[int](), "", list[TokenLogprob]()
        ending: tuple[Finish, str | int | None] | None = None
        base = item.span.end - item.draws + 1  # tokens computed that were known
        kept = 0  # guesses that came true
        for place, (token, logits) in enumerate(drawn):
            ending, piece = self._put(generation, token)
            text += piece
            if len(generation.tokens) > base + len(taken):  # an end token is not part of the answer
                taken.append(token)
                if generation.request.params.logprobs is not None:
                    reported.append(logprobs(logits, token, generation.request.params.logprobs))
            if ending is not None or place == len(draft) or token != draft[place]:
                break
            kept += 1
        generation.accepted += kept
        self._computed(generation, min(base + kept, len(generation.tokens)))
        self._drafted += len(draft)
        self._accepted += kept
        self._output += len(taken)
        if generation.first_token_ns is None:
            generation.first_token_ns = time.monotonic_ns()
        if text or taken:
            self._outbox.append((generation, Piece(text, tuple(taken), tuple(reported))))
        if ending is not None:
            self._end(generation, *ending)
        return len(taken)

    def _put(self, generation: Generation, token: int) -> tuple[tuple[Finish, str | int | None] | None, str]:
        """One more token of the answer: why it ends here, if it does, and the text that is certain now."""
        params, constraint = generation.request.params, generation.request.constraint
        if token == self.tokenizer.eos_id and not params.ignore_eos:
            return ("end", None), generation.text.finish()
        if token in params.stop_token_ids:
            return ("stop", token), generation.text.finish()
        generation.tokens.append(token)
        text = generation.text.push(token)
        if generation.text.stopped:
            return ("stop", generation.text.found), text
        if constraint is not None:
            constraint.accept(token)
            if constraint.finished:
                return ("end", None), text + generation.text.finish()
        if len(generation.tokens) - generation.prompt_length >= generation.room:
            text += generation.text.finish()
            return (("stop", generation.text.found) if generation.text.stopped else ("length", None)), text
        return None, text

    def _computed(self, generation: Generation, upto: int) -> None:
        """Entries before `upto` are in the cache."""
        self.scheduler.computed(generation, upto)

    def _guess(self, work: Sequence[Work], hidden_ND: Tensor) -> None:
        """MTP's entries for all that was computed, and a guess for each request that goes on decoding."""
        spans, following, states, rows, guessing = (
            list[Span](),
            list[int](),
            list[int](),
            list[int](),
            list[Generation](),
        )
        at = 0
        for item in work:
            generation, first = item.generation, at
            at += item.span.count
            if generation.table is not item.span.table:  # it has ended
                continue
            valid = min(generation.computed, item.span.end) - item.span.start
            spans.append(Span(generation.table, item.span.start, valid))
            following += generation.tokens[item.span.start + 1 : item.span.start + 1 + valid]
            states += range(first, first + valid)
            left = generation.room - (len(generation.tokens) - generation.prompt_length)
            if item.draws and generation.request.constraint is None and left > 1:
                rows.append(len(states) - 1)
                guessing.append(generation)
        if spans:
            found = self.runner.guesses(spans, hidden_ND[states], following, rows)
            for generation, token in zip(guessing, found.tolist(), strict=True):
                generation.draft = [token]

    def _end(
        self, generation: Generation, reason: Finish, stop: str | int | None = None, error: str | None = None
    ) -> None:
        """The request is over; what it computed stays findable."""
        self.scheduler.remove(generation)
        self._finished += 1
        self._outbox.append((generation, (reason, stop, error)))

    def _share(self, work: Sequence[Work]) -> None:
        """All wall-clock since the last call: among those in the step by the work they caused, or idle."""
        now = time.monotonic_ns()
        passed, self._clock_ns = now - self._clock_ns, now
        if not work:
            self._idle_ns += passed
            return
        self._busy_ns += passed
        weights = [
            item.span.count * self._token_work
            + (item.span.start + 1 + item.span.end) * item.span.count // 2 * self._read_work
            for item in work
        ]
        for item, part in zip(work, split(passed, weights), strict=True):
            item.generation.machine_ns += part

    def _hand_out(self) -> None:
        """Delivers what has come out, in order; last, so that a request's share of this step is in its usage."""
        outbox, self._outbox = self._outbox, []
        for generation, event in outbox:
            generation.request.deliver(event if isinstance(event, Piece) else generation.finished(*event))


def _default_cache_bytes(device: torch.device) -> int:
    """A quarter of the memory that is free now."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(free) // 4
