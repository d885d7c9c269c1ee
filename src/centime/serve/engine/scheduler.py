"""Which tokens the next step computes. There is no prefill or decode phase: every request has tokens to catch up with.

A step has a budget of tokens. Requests that decode come first, with half of it at most while prompts wait, then pieces
of prompts, so that neither stalls the other. Owners of keys share budget, places and cache alike: each has a counter of
the tokens it was served, and the one with the smallest goes next (virtual token counter, arXiv 2401.00588, section
4.1); whoever asks for less than an equal share of the places or of the cache gets it, if need be from the latest
request of the owner who holds most. That one gives its blocks back and is computed again later, as does the latest
request when the cache is full.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from centime.serve.engine.cache_manager import CacheManager
from centime.serve.engine.generation import Generation
from centime.serve.kv_cache.paged_cache import TokenSpan

# An owner's only running request keeps what it holds until it has gone on by this many tokens since it got its place:
# two that each need the whole cache take it in turns, and get somewhere in each.
PROTECTED_TOKENS = 64

_ARRIVAL = attrgetter("arrival")

# Of the budget, for a token of a prompt whose log-probabilities are asked for: logits of the whole vocabulary for every
# one of them, where another prompt has them for its last alone. At 129,280 ids a step took twenty times as long.
SCORED_TOKENS = 8


@dataclass(slots=True)
class ScheduledWork:
    """What one request does in a step: compute `tokens`, whose places are `span`; then draw `draws` tokens."""

    generation: Generation
    tokens: list[int]
    span: TokenSpan
    draws: int  # 0 within a prompt, 1 at its end and in decoding, one more for every guess of a draft


@dataclass
class _Plan:
    """A step as it is put together. Single tokens come first: the model attends for them all at once."""

    budget: int  # tokens that are left of it
    reading: list[Generation]  # those that run and are in their prompts
    single: list[ScheduledWork] = field(default_factory=list)
    longer: list[ScheduledWork] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)  # ids of the requests that have been looked at

    def add(self, work: ScheduledWork) -> None:
        (self.single if work.span.count == 1 else self.longer).append(work)

    def work(self) -> list[ScheduledWork]:
        """All of it but that of requests which were preempted since: they have lost the table that it is in."""
        return [work for work in self.single + self.longer if work.span.table is work.generation.table]


class Scheduler:
    """Requests that wait and requests that run, over one cache."""

    def __init__(self, cache: CacheManager, step_tokens: int, max_running: int) -> None:
        self.cache = cache
        self.step_tokens, self.max_running = step_tokens, max_running
        self.running: list[Generation] = []
        self._places = Counter[str]()  # of those that run, by owner
        self._waiting: dict[str, deque[Generation]] = {}
        self._served: Counter[str] = Counter()  # the virtual counters
        self._prompts_first = False  # a budget of a single token is theirs and decoding's in turns
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def waiting_of(self, owner: str) -> int:
        return len(self._waiting.get(owner, ()))

    def all(self) -> Iterator[Generation]:
        """Every request, running or waiting."""
        yield from self.running
        for queue in self._waiting.values():
            yield from queue

    def add(self, generation: Generation) -> None:
        """Queues a new request. An owner who comes back after a pause does not bring the turns it left unused."""
        owner, active = generation.request.owner, self._active()
        if owner not in active:
            lowest = min((self._served[other] for other in active), default=0)
            self._served[owner] = max(self._served[owner], lowest)
        self._waiting.setdefault(owner, deque()).append(generation)

    def remove(self, generation: Generation) -> None:
        """Takes a request out, wherever it is, and gives its blocks back."""
        if generation.runs:
            self.running.remove(generation)
            self._places -= Counter((generation.request.owner,))
            generation.runs = False
        else:
            self._unqueue(generation)
        self.cache.release(generation)

    def _unqueue(self, generation: Generation) -> None:
        owner = generation.request.owner
        self._waiting[owner].remove(generation)
        if not self._waiting[owner]:
            del self._waiting[owner]

    def schedule(self) -> list[ScheduledWork]:
        """The next step's work, single tokens first; empty when there is nothing to do."""
        pending = [(g, g.pending) for g in self.running]
        decoding = sorted((g for g, tokens in pending if tokens == 1), key=_ARRIVAL)
        plan = _Plan(self.step_tokens, [g for g, tokens in pending if tokens > 1])
        self._decode(plan, decoding, self._decode_budget(all_decode=len(decoding) == len(pending)))
        refused: list[Generation] = []  # whose turn it is, and who find no room
        while plan.budget > 0:
            prompt = self._next_prompt(plan, refused)
            if prompt is None:
                break
            if not prompt.runs and not self._let_in(prompt):
                refused.append(prompt)
                continue
            cost = SCORED_TOKENS if prompt.scores_prompt else 1
            self._add(plan, prompt, min(max(1, plan.budget // cost), prompt.pending), cost)
        self._decode(plan, [g for g in decoding if id(g) not in plan.taken], plan.budget)  # what prompts have left over
        work = plan.work()
        for item in work:
            self._served[item.generation.request.owner] += item.span.count
        return work

    def _decode_budget(self, *, all_decode: bool) -> int:
        """Tokens that decoding may take first: all of them, or half while prompts wait; of one token, every other."""
        if all_decode and not self.waiting:
            return self.step_tokens
        if self.step_tokens > 1:
            return self.step_tokens // 2
        self._prompts_first = not self._prompts_first
        return int(self._prompts_first)

    def _decode(self, plan: _Plan, decoding: list[Generation], most: int) -> None:
        """Adds these requests, which have one token to catch up with, up to `most` tokens."""
        if len(decoding) > most:
            decoding.sort(key=self._turn)
        kept = plan.budget - most
        for generation in decoding:
            if generation.runs and plan.budget > kept:  # it may have been preempted by an earlier one
                generation.draft = generation.draft[: plan.budget - kept - 1]
                self._add(plan, generation, 1 + len(generation.draft))

    def _next_prompt(self, plan: _Plan, refused: list[Generation]) -> Generation | None:
        """Whose prompt goes on or begins: the least served owner's; what runs before what waits."""
        inside = [g for g in plan.reading if g.runs and id(g) not in plan.taken]
        heads = [g for g in (self._waiting[owner][0] for owner in self._may_enter()) if self._may_pass(g, refused)]
        heads = [g for g in heads if not self.cache.is_being_computed(g)]
        return min(inside + [g for g in heads if id(g) not in plan.taken], key=self._turn, default=None)

    def _may_pass(self, generation: Generation, refused: list[Generation]) -> bool:
        """Whether a request goes in before others whose turn it is, and who wait for more room than there is.

        It does where it fits its owner's share of the cache, and until its owner is ahead by what they ask for: then
        nobody passes, and room comes together for them.
        """
        if not refused:
            return True
        owner = generation.request.owner
        own = self._blocks()[owner] + self.cache.blocks_for(len(generation.tokens) + 1)
        ahead = any(self._served[owner] > self._served[g.request.owner] + g.pending for g in refused)
        return generation not in refused and own <= self._share_of(self.cache.usable) and not ahead

    def _may_enter(self) -> list[str]:
        """Owners who wait and have fewer than their share of the places; where none has, all, if a place is free."""
        share = self._share_of(self.max_running)
        under = [owner for owner in self._waiting if self._places[owner] < share]
        return under or ([*self._waiting] if len(self.running) < self.max_running else [])

    def _turn(self, generation: Generation) -> tuple[int, bool, int, int]:
        return self._served[generation.request.owner], not generation.runs, *generation.arrival

    def _let_in(self, generation: Generation) -> bool:
        """Gives a waiting request a place and its prefix, taken from others where its owner has less than its share."""
        owner = generation.request.owner
        if len(self.running) >= self.max_running and not self._take_from(
            self._places, self._share_of(self.max_running)
        ):
            return False
        while not self.cache.admit(generation, spare=len(self.running)):
            blocks, share = self._blocks(), self._share_of(self.cache.usable)
            if blocks[owner] + self.cache.blocks_for(len(generation.tokens) + 1) > share:
                return False
            if not self._take_from(blocks, share):
                return False
        self._unqueue(generation)
        self._enter(generation)
        return True

    def _enter(self, generation: Generation) -> None:
        self.running.append(generation)
        self._places[generation.request.owner] += 1
        generation.runs = True
        generation.let_in = len(generation.tokens)

    def _take_from(self, held: Counter[str], share: int) -> bool:
        """Preempts the latest request of the owner who holds most, where that is more than its share."""
        for owner, amount in held.most_common():
            if amount <= share:
                return False
            own = [g for g in self.running if g.request.owner == owner]
            victim = max(own, key=_ARRIVAL)
            if len(own) > 1 or len(victim.tokens) >= victim.let_in + PROTECTED_TOKENS:
                self.preempt(victim)
                return True
        return False

    def _add(self, plan: _Plan, generation: Generation, count: int, cost: int = 1) -> None:
        """The request's work of `count` tokens, each worth `cost` of the budget, where the cache has room for it."""
        plan.taken.add(id(generation))
        if not self._grow(generation, generation.computed + count):
            return
        start, pending = generation.computed, generation.pending
        known = generation.tokens[start : start + count]
        tokens = known + generation.draft[: count - len(known)]
        draws = count - pending + 1 if count >= pending and generation.room else 0
        span = TokenSpan(generation.table, start, count)
        plan.add(ScheduledWork(generation, tokens, span, draws))
        plan.budget -= cost * count

    def _grow(self, generation: Generation, tokens: int) -> bool:
        """Room for `tokens` tokens, taken from others if there is none; False when it had to give way itself."""
        while not self.cache.grow(generation, tokens):
            victim = self._gives_way()
            self.preempt(victim)
            if victim is generation:
                return False
        return True

    def _gives_way(self) -> Generation:
        """The latest request of the owner who holds most beyond its share and has another; else the latest of all."""
        blocks, share = self._blocks(), self._share_of(self.cache.usable)
        for owner, amount in blocks.most_common():
            own = [g for g in self.running if g.request.owner == owner]
            if amount > share and len(own) > 1:
                return max(own, key=_ARRIVAL)
        return max(self.running, key=_ARRIVAL)

    def preempt_all(self) -> None:
        """Every request gives its blocks back, and waits in the order of arrival."""
        for generation in sorted(self.running, key=_ARRIVAL, reverse=True):
            self.preempt(generation)

    def preempt(self, generation: Generation) -> None:
        """Gives its blocks back; it waits at the head of its owner's queue, keeps its tokens and is computed again."""
        self.preemptions += 1
        self.remove(generation)
        generation.computed = generation.written = 0
        generation.draft = []
        self._waiting.setdefault(generation.request.owner, deque()).appendleft(generation)

    def _active(self) -> set[str]:
        return {*self._places} | {*self._waiting}

    def _share_of(self, amount: int) -> int:
        """An owner's equal part, where each has at least one."""
        return max(1, amount // max(1, len(self._active())))

    def _blocks(self) -> Counter[str]:
        """Blocks by owner; shared ones count for each."""
        held: Counter[str] = Counter()
        for generation in self.running:
            held[generation.request.owner] += len(generation.table)
        return held
