"""The engine: a thread that goes step by step. A step is: schedule, run, draw, hand out; then the time is shared.

Requests come in through `submit` from any thread, events go out through each request's `deliver`. Without work the
thread sleeps on a condition and takes no processor time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from centime.errors import UserError
from centime.model import Transformer
from centime.model.packed.layer import PackedDecoderLayer
from centime.ops.native import on_gpu
from centime.plan.counts import count
from centime.serve.engine.cache_manager import CacheManager
from centime.serve.engine.decode_graphs import GraphedModelRunner
from centime.serve.engine.detokenizer import Detokenizer, Unread
from centime.serve.engine.draws.logits_processor import LogitsProcessor
from centime.serve.engine.executor import Executor
from centime.serve.engine.generation import Generation
from centime.serve.engine.model_runner import SCRATCH, DeterministicModelRunner, ModelRunner
from centime.serve.engine.outcome import Ending, Outcome
from centime.serve.engine.request import Event, Piece, QueueFull, Request, check_prompt
from centime.serve.engine.scheduler import ScheduledWork, Scheduler
from centime.serve.engine.settings import EngineSettings
from centime.serve.engine.stats import EngineStats
from centime.serve.engine.work_clock import WorkClock
from centime.serve.faults import report
from centime.serve.kv_cache.block_pool import BlockPool
from centime.serve.kv_cache.disk_tier import DiskTier, open_disk
from centime.serve.kv_cache.paged_cache import Pages, free_cache_bytes

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

WINDOW_NS = 5_000_000_000  # over which "now" is measured


class Engine:
    """Serves one model. `start` it, `submit` requests, `stop` it; or let a test call `step` itself.

    files: the mark of the files that the weights are from, where nobody has changed them since (`files_mark`).
    """

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, settings: EngineSettings | None = None, files: str | None = None
    ) -> None:
        self.settings = settings or EngineSettings()
        self.model, self.tokenizer = model.eval(), tokenizer
        config, weight = model.config, model.head_weight
        self.vocabulary = min(tokenizer.vocab_size, config.vocab_size)
        drafting = self.settings.drafts and config.num_nextn_predict_layers > 0
        size, token_bytes = self.settings.block_tokens, Pages.token_bytes(config, model.dtype, drafts=drafting)
        room = self.settings.cache_bytes or free_cache_bytes(weight.device)
        most = max(2, self.settings.max_running * -(-config.max_position_embeddings // size))  # a short context has one
        count_ = min(room // (token_bytes * size), most) + 1  # and the scratch block
        if count_ < 3:
            raise UserError(
                f"a cache of {room:,} bytes holds no two blocks of {size} tokens of this model "
                f"({token_bytes:,} bytes a token); give more cache memory."
            )
        routings = self.settings.routings
        if routings and any(isinstance(layer, PackedDecoderLayer) for layer in model.layers):
            raise UserError("packed weights do not tell which experts they visit; load the model without packing it.")
        self.pages = Pages(config, count_, size, model.dtype, weight.device, drafts=drafting, routings=routings)
        self.pool = BlockPool(count_, size)
        assert self.pool.take(1) == [SCRATCH]
        self.context = min(config.max_position_embeddings, (count_ - 1) * size)
        self.disk = self._open_disk(files)
        self.cache = CacheManager(self.pool, self.pages, self.disk, prefixes=self.settings.prefix_cache)
        self.scheduler = Scheduler(self.cache, self.settings.step_tokens, self.settings.max_running)
        kind = ModelRunner
        if self.settings.deterministic:
            kind = DeterministicModelRunner
        elif on_gpu(weight) and config.is_mla and not routings:
            kind = GraphedModelRunner
        self.executor = Executor(kind(model, self.pages, self.vocabulary), tokenizer, drafting)
        counts = count(config, 1)
        longer = count(config, 3)  # causal: a token of three sees one key more, in the mean, than a token alone
        reads = max(1, round(longer.forward_flops_per_token - counts.forward_flops_per_token))
        self.clock = WorkClock(max(1, round(counts.forward_flops_per_token)), reads)
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._incoming: deque[Generation] = deque()
        self._incoming_of = Counter[str]()  # how many of them each owner has
        self._aborts: set[int] = set()
        self._stopping = self._failed = False
        self._thread: threading.Thread | None = None
        self._steps = self._finished = 0
        self._prompt = self._hits = self._output = 0
        self._recent: deque[tuple[int, int, int]] = deque()  # (when, tokens computed, tokens put out)

    # -- from any thread

    def start(self) -> None:
        """Starts the thread."""
        self.clock.start()
        self._thread = threading.Thread(target=self._loop, name="centime-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Takes a request in. Raises UserError on a prompt it cannot answer, QueueFull when too many wait."""
        prompt, owner = request.prompt, request.owner
        check_prompt(prompt, self.context, self.vocabulary)
        room = min(request.params.max_tokens, self.context - len(prompt))
        text = Unread() if request.silent else Detokenizer(self.tokenizer.decode, request.params.stop)
        generation = Generation(request, room, text, LogitsProcessor(request.params, prompt, self.vocabulary))
        with self._wake:
            if self._failed or self._stopping:
                raise QueueFull("the engine has failed" if self._failed else "the server is shutting down")
            if self.scheduler.waiting_of(owner) + self._incoming_of[owner] >= max(1, self.settings.max_waiting):
                raise QueueFull.of(owner)
            self._incoming.append(generation)
            self._incoming_of[owner] += 1
            self._wake.notify_all()

    def abort(self, request_id: int) -> None:
        """Ends a request before the next step; unknown ids (it may just have finished) are ignored."""
        with self._wake:
            self._aborts.add(request_id)
            self._wake.notify_all()

    def stop(self) -> None:
        """Ends the thread: takes no new request, and aborts those still in progress."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._failed:
            for generation in [*self._incoming, *self.scheduler.all()]:
                self._deliver(generation.request, generation.finished("aborted"))
        if self.disk is not None:
            self.disk.close()

    def refresh(self) -> None:
        """To be called when the model's weights have changed in place, by who steps the engine: nothing is copied.

        What was computed with the old ones is forgotten: cached prefixes, and on disk, where new ones get a fingerprint
        of their own. Answers in progress keep their tokens, which are read again by the new weights. Raises
        RuntimeError where the engine steps in a thread of its own.
        """
        if self._thread is not None:
            raise RuntimeError("the weights of an engine that runs in its own thread cannot change under it; stop it")
        self.scheduler.preempt_all()
        self.pool.forget_all()
        if self.disk is not None:
            self.disk.close()
            self.disk = self.cache.disk = self._open_disk(None)

    def stats(self) -> EngineStats:
        """A reading; safe while the engine runs."""
        now, pool = time.monotonic_ns(), self.pool
        with self._lock:
            waiting = self.scheduler.waiting + len(self._incoming)
        totals = self.clock.totals(idling=not (waiting or self.scheduler.running))
        recent = [entry for entry in list(self._recent) if entry[0] > now - WINDOW_NS]
        return EngineStats(
            running=len(self.scheduler.running),
            waiting=waiting,
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
            drafted_tokens=self.executor.drafted,
            accepted_tokens=self.executor.accepted,
            busy_ns=totals.requests_ns,
            idle_ns=totals.idle_ns,
            output_tokens_per_s=sum(entry[2] for entry in recent) * 1e9 / WINDOW_NS,
            computed_tokens_per_s=sum(entry[1] for entry in recent) * 1e9 / WINDOW_NS,
            failed=self._failed,
            busy_energy=totals.requests_energy,
            idle_energy=totals.idle_energy,
        )

    def _open_disk(self, files: str | None) -> DiskTier | None:
        settings = self.settings
        if settings.disk is None:
            return None
        entries, exact = self.pages.read(SCRATCH), settings.deterministic
        return open_disk(settings.disk, settings.disk_bytes, self.model, entries, exact, files)

    # -- the engine's thread

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not (self._stopping or self._incoming or self._aborts or self.scheduler.running):
                    if self.scheduler.waiting:
                        break
                    self._wake.wait()
            self.clock.share([])  # what passed was idle
            if self._stopping:
                return
            try:
                self.step()
            except Exception as error:  # the books themselves are in doubt: better no answer than a wrong one
                report(error, "the engine has failed and answers no more")
                self._fail()
                return

    def _fail(self) -> None:
        """Ends all requests and takes no more."""
        with self._wake:
            self._failed = True
            lost = [*self._incoming, *self.scheduler.all()]
            self._incoming.clear()
        for generation in lost:
            self._deliver(generation.request, generation.finished("failed", error="the engine failed; see its log"))

    def step(self) -> bool:
        """One step; False when there was nothing to compute."""
        outcomes = self._take_in()
        work = self.scheduler.schedule() if not outcomes else []  # first let go of those who left
        if work:
            for item in work:
                self._begin(item.generation)
            outcomes += self.executor.run(work)
            for item in work:
                self.cache.publish(item.generation)
            self._remember(work, outcomes)
        self.clock.share(work)
        if any(isinstance(event, Ending) for _, event in outcomes):
            self.clock.settle()
        self._hand_out(outcomes)
        if self.settings.check:
            self.pool.check([[SCRATCH], *(generation.table for generation in self.scheduler.all())])
        return bool(work or outcomes)

    def _take_in(self) -> list[Outcome]:
        """New requests to the scheduler; the ends of those whose client has left."""
        with self._wake:
            while self._incoming:
                self.scheduler.add(self._incoming.popleft())
            self._incoming_of.clear()
            aborts, self._aborts = self._aborts, set()
        left = self.scheduler.all() if aborts else ()
        return [(g, Ending("aborted")) for g in left if g.request.id in aborts]

    def _begin(self, generation: Generation) -> None:
        if generation.begun_ns is None:
            generation.begun_ns = time.monotonic_ns()
            self._prompt += generation.prompt_length
            self._hits += generation.hit_tokens

    def _remember(self, work: Sequence[ScheduledWork], outcomes: Sequence[Outcome]) -> None:
        """The step, in the figures of the last seconds."""
        now, put_out = time.monotonic_ns(), sum(len(event.tokens) for _, event in outcomes if isinstance(event, Piece))
        self._output += put_out
        self._steps += 1
        self._recent.append((now, sum(item.span.count for item in work), put_out))
        while self._recent[0][0] < now - WINDOW_NS:
            self._recent.popleft()

    def _hand_out(self, outcomes: Sequence[Outcome]) -> None:
        """Delivers what has come out, in order; last, so that a request's share of this step is in its usage."""
        for generation, event in outcomes:
            if not isinstance(event, Ending):
                self._deliver(generation.request, event)
            else:
                record = generation.request.record
                if record is not None:
                    record.experts = self.pages.experts_of(generation.table, generation.computed)
                self.scheduler.remove(generation)
                self._finished += 1
                self._deliver(generation.request, generation.finished(event.reason, event.stop, event.error))

    def _deliver(self, request: Request, event: Event) -> None:
        """A receiver that raises is one that has left: its request ends."""
        try:
            request.deliver(event)
        except Exception as error:  # whatever it was, the other requests must not suffer from it
            report(error, "a receiver of events failed; its request ends")
            self.abort(request.id)
