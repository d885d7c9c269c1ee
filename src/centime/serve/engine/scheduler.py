"""Which tokens the next step computes. There is no prefill or decode phase: every request has tokens to catch up with.

A step has a budget of tokens. Requests that decode come first, then pieces of prompts, so that a long prompt never
stalls the answers beside it. Owners of keys get the machine in turns: each has a counter of the tokens it was served,
and the one with the smallest goes next (virtual token counter, arXiv 2401.00588, section 4.1). When the cache is
full, the latest request gives its blocks back and is computed again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from centime.serve.engine.blocks import BlockPool, Match, block_key
from centime.serve.engine.disk import DiskTier
from centime.serve.engine.generation import Generation
from centime.serve.engine.pages import Pages, Span


@dataclass(frozen=True)
class Work:
    """What one request does in a step: compute `tokens`, whose places are `span`; then draw `draws` tokens."""

    generation: Generation
    tokens: list[int]
    span: Span
    draws: int  # 0 within a prompt, 1 at its end and in decoding, one more for every guess of a draft


class Scheduler:
    """Requests that wait and requests that run, over one pool of blocks."""

    def __init__(
        self, pool: BlockPool, pages: Pages, step_tokens: int, max_running: int, disk: DiskTier | None = None
    ) -> None:
        self.pool, self.pages, self.disk = pool, pages, disk
        self.step_tokens, self.max_running = step_tokens, max_running
        self.running: list[Generation] = []
        self._waiting: dict[str, deque[Generation]] = {}
        self._served: dict[str, int] = {}  # the virtual counters
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def all(self) -> Iterator[Generation]:
        """Every request, running or waiting."""
        yield from self.running
        for queue in self._waiting.values():
            yield from queue

    def add(self, generation: Generation) -> None:
        """Queues a new request. An owner who comes back after a pause does not bring the turns it left unused."""
        owner = generation.request.owner
        active = {g.request.owner for g in self.all()}
        if owner not in active:
            lowest = min((self._served[other] for other in active), default=0)
            self._served[owner] = max(self._served.get(owner, 0), lowest)
        self._waiting.setdefault(owner, deque()).append(generation)

    def remove(self, generation: Generation) -> None:
        """Takes a request out, wherever it is, and gives its blocks back."""
        if generation in self.running:
            self.running.remove(generation)
        else:
            self._waiting[generation.request.owner].remove(generation)
        self.pool.release(generation.table)
        generation.table = []

    def schedule(self) -> list[Work]:
        """The next step's work, single tokens first; empty when there is nothing to do."""
        budget = self.step_tokens
        single, longer = list[Work](), list[Work]()
        for generation in sorted((g for g in self.running if g.pending == 1), key=_arrival):
            if generation in self.running and budget > 0:  # it may have been preempted by an earlier one
                generation.draft = generation.draft[: budget - 1]
                budget -= self._plan(generation, 1 + len(generation.draft), single, longer)
        while budget > 0:
            prompt = self._next_prompt({id(work.generation) for work in longer + single})
            if prompt is None:
                break
            planned = self._plan(prompt, min(budget, prompt.pending), single, longer)
            if not planned:
                break
            budget -= planned
        # a preempted request has lost its table, and with it the work that was planned on it
        work = [item for item in single + longer if item.span.table is item.generation.table]
        for item in work:
            owner = item.generation.request.owner
            self._served[owner] = self._served.get(owner, 0) + item.span.count
        return work

    def _next_prompt(self, planned: set[int]) -> Generation | None:
        """A running request within its prompt, else a waiting one that is let in; the least served owner's first."""
        inside = [g for g in self.running if g.pending > 1 and id(g) not in planned]
        if inside:
            return min(inside, key=lambda g: (self._served.get(g.request.owner, 0), g.request.arrived_ns))
        queues = [queue for queue in self._waiting.values() if queue]
        if not queues or len(self.running) >= self.max_running:
            return None
        queue = min(queues, key=lambda q: (self._served.get(q[0].request.owner, 0), q[0].request.arrived_ns))
        generation = queue[0]
        if not self._admit(generation):
            return None
        queue.popleft()
        self.running.append(generation)
        return generation

    def _admit(self, generation: Generation) -> bool:
        """Takes the cached beginning of its tokens into use, if there is room for the rest of them and an answer."""
        found = self.pool.match(generation.tokens[:-1], generation.request.isolation)  # the last one is computed anyway
        self.pool.use(found.blocks)
        if self.disk is not None:
            found = self._restore(self.disk, found, generation.tokens[:-1])
        missing = -(-(len(generation.tokens) + 1) // self.pool.size) - len(found.blocks)
        if self.running and missing + len(self.running) > self.pool.free:  # each of those that run needs a block soon
            self.pool.release(found.blocks)
            return False
        generation.table = list(found.blocks)
        generation.computed = len(found.blocks) * self.pool.size
        self._know(generation, found.blocks)
        if found.partial is not None and found.partial_tokens:
            self._copy_partial(generation, found.partial, found.partial_tokens)
        if generation.begun_ns is None:
            generation.hit_tokens = min(generation.computed, generation.prompt_length)
        return True

    def _restore(self, disk: DiskTier, found: Match, tokens: list[int]) -> Match:
        """Whole blocks that follow those in memory and are on disk, read back and published."""
        blocks, key, size = list(found.blocks), found.key, self.pool.size
        for start in range(len(blocks) * size, len(tokens) - size + 1, size):
            piece = tokens[start : start + size]
            entries = disk.get(block_key(key, piece), key, piece)
            taken = self.pool.take(1, blocks[-1] if blocks else None) if entries is not None else None
            if entries is None or taken is None:
                break
            self.pages.read(taken[0])[: len(entries)].copy_(entries)
            key = self.pool.publish(taken[0], key, piece)
            blocks += taken
        return found if len(blocks) == len(found.blocks) else Match(blocks, key)

    def _know(self, generation: Generation, blocks: list[int]) -> None:
        """The keys of the prefixes that whole blocks hold."""
        del generation.keys[1:]
        for index in range(len(blocks)):
            tokens = generation.tokens[index * self.pool.size : (index + 1) * self.pool.size]
            generation.keys.append(block_key(generation.keys[-1], tokens))

    def _copy_partial(self, generation: Generation, source: int, tokens: int) -> None:
        """Copy on write: entries shared with the beginning of another's block move to a block of its own."""
        self.pool.hold(source)
        taken = self.pool.take(1, generation.table[-1] if generation.table else None)
        if taken is not None:
            self.pages.copy(source, taken[0], tokens)
            generation.table += taken
            generation.computed += tokens
        self.pool.release([source])

    def _plan(self, generation: Generation, count: int, single: list[Work], longer: list[Work]) -> int:
        """Adds the request's work of `count` tokens, with room in the cache for it; how many tokens, 0 if none."""
        if not self._grow(generation, generation.computed + count):
            return 0
        start = generation.computed
        known = generation.tokens[start : start + count]
        tokens = known + generation.draft[: count - len(known)]
        draws = count - generation.pending + 1 if count >= generation.pending else 0
        span = Span(generation.table, start, count)
        (single if count == 1 else longer).append(Work(generation, tokens, span, draws))
        return count

    def _grow(self, generation: Generation, tokens: int) -> bool:
        """Blocks for `tokens` tokens, taken from the latest request if there are none; False when it was the latest."""
        missing = -(-tokens // self.pool.size) - len(generation.table)
        if missing <= 0:
            return True
        while (taken := self.pool.take(missing, generation.table[-1] if generation.table else None)) is None:
            victim = max(self.running, key=_arrival)
            self.preempt(victim)
            if victim is generation:
                return False
        generation.table += taken
        return True

    def preempt(self, generation: Generation) -> None:
        """Gives its blocks back; it waits at the head of its owner's queue, keeps its tokens and is computed again."""
        self.preemptions += 1
        self.remove(generation)
        generation.computed, generation.draft = 0, []
        self._waiting.setdefault(generation.request.owner, deque()).appendleft(generation)

    def computed(self, generation: Generation, upto: int) -> None:
        """Tokens before `upto` are in the cache: full blocks are published, and kept on disk."""
        generation.computed = upto
        size = self.pool.size
        for index in range(len(generation.keys) - 1, upto // size):
            tokens, parent = generation.tokens[index * size : (index + 1) * size], generation.keys[-1]
            generation.keys.append(self.pool.publish(generation.table[index], parent, tokens))
            if self.disk is not None:
                entries = self.pages.read(generation.table[index])[: self.disk.shape[0]]
                self.disk.put(generation.keys[-1], parent, tokens, entries)


def _arrival(generation: Generation) -> tuple[int, int]:
    return generation.request.arrived_ns, generation.request.id
