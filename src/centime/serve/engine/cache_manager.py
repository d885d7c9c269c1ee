"""The cache as requests use it: prefixes found and shared, room taken and given back, full blocks made known.

What is in kv_cache/ it uses: a pool of blocks keeps the books, pages the entries, the disk tier what outlives both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from centime.serve.engine.generation import Generation
from centime.serve.kv_cache.block_pool import BlockPool, Key, Match, block_key
from centime.serve.kv_cache.disk_tier import DiskTier
from centime.serve.kv_cache.paged_cache import Pages


class CacheManager:
    """One pool of blocks over one set of pages, and the disk below them where there is one. prefixes: share any."""

    def __init__(self, pool: BlockPool, pages: Pages, disk: DiskTier | None = None, *, prefixes: bool = True) -> None:
        self.pool, self.pages, self.disk, self.prefixes = pool, pages, disk, prefixes
        self.usable = pool.free  # blocks that requests share
        self._by_prompt: dict[Key, list[Generation]] = {}  # those that hold blocks

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.pool.size)

    def admit(self, generation: Generation, spare: int) -> bool:
        """Takes the cached beginning of its tokens into use; False where there is no room for all of them.

        spare: blocks to be left free for the requests that run. Where log-probabilities of the prompt are still to be
        told, what they follow from is computed: the cache holds no hidden states.
        """
        computed_anyway = generation.scored if generation.scores_prompt else len(generation.tokens)
        known = generation.tokens[: computed_anyway - 1] if self.prefixes else []
        found = self._best_match(generation, known)
        self.pool.use(found.blocks)
        if self.disk is not None:
            found = self._restore(self.disk, found, known)
        missing = self.blocks_for(len(generation.tokens) + 1) - len(found.blocks)
        if spare and missing + spare > self.pool.free:
            self.pool.release(found.blocks)
            return False
        self._by_prompt.setdefault(generation.prompt_key, []).append(generation)
        generation.table = list(found.blocks)
        generation.computed = len(found.blocks) * self.pool.size
        self._know(generation, found.blocks)
        if found.partial is not None and found.partial_tokens:
            self._copy_partial(generation, found.partial, found.partial_tokens)
        generation.written = generation.computed
        generation.reached = max(generation.reached, generation.computed)
        if generation.begun_ns is None:
            generation.hit_tokens = min(generation.computed, generation.prompt_length)
        return True

    def is_being_computed(self, generation: Generation) -> bool:
        """Whether another request is just reading the same prompt: who waits for it need not read it again."""
        twins = False
        for twin in self._twins(generation):
            if _has_read(twin):
                return False
            twins = True
        return twins

    def _twins(self, generation: Generation) -> Iterator[Generation]:
        """Requests with the same prompt that have a place in the cache, where this one may share what they wrote."""
        if not self.prefixes or generation.scores_prompt or generation.prompt_length == 1:
            return
        prompt = generation.tokens[: generation.prompt_length]
        for twin in self._by_prompt.get(generation.prompt_key, ()):
            if twin.tokens[: twin.prompt_length] == prompt:
                yield twin

    def _best_match(self, generation: Generation, known: Sequence[int]) -> Match:
        """The longest beginning of `known` in the cache: of a known prefix, or of a request with the same prompt."""
        found = self.pool.match(known, generation.request.isolation)
        tokens, size = generation.prompt_length - 1, self.pool.size
        if len(found.blocks) * size + found.partial_tokens >= tokens:
            return found
        for twin in self._twins(generation):
            if _has_read(twin):
                whole, rest = divmod(tokens, size)
                return Match(twin.table[:whole], b"", twin.table[whole] if rest else None, rest)
        return found

    def _restore(self, disk: DiskTier, found: Match, tokens: Sequence[int]) -> Match:
        """Whole blocks that follow those in memory and are on disk, read back and published."""
        blocks, key, size = list(found.blocks), found.key, self.pool.size
        for start in range(len(blocks) * size, len(tokens) - size + 1, size):
            piece = tokens[start : start + size]
            entries = disk.get(block_key(key, piece), key, piece)
            taken = self.pool.take(1, blocks[-1] if blocks else None) if entries is not None else None
            if entries is None or taken is None:
                break
            self.pages.read(taken[0]).copy_(entries)
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

    def grow(self, generation: Generation, tokens: int) -> bool:
        """Blocks for `tokens` tokens in all; False, and none taken, where too few are free."""
        missing = self.blocks_for(tokens) - len(generation.table)
        if missing <= 0:
            return True
        taken = self.pool.take(missing, generation.table[-1] if generation.table else None)
        generation.table += taken or []
        return taken is not None

    def release(self, generation: Generation) -> None:
        """Gives its blocks back; those that are known stay findable until their room is needed."""
        alike = self._by_prompt.get(generation.prompt_key, [])
        if generation in alike:
            alike.remove(generation)
            if not alike:
                del self._by_prompt[generation.prompt_key]
        self.pool.release(generation.table)
        generation.table = []

    def publish(self, generation: Generation) -> None:
        """Makes blocks known whose entries are written in all layers, and keeps them on disk. Called after a step, when
        no part of the step is still to write."""
        size = self.pool.size
        for index in range(len(generation.keys) - 1, generation.written // size if self.prefixes else 0):
            tokens, parent = generation.tokens[index * size : (index + 1) * size], generation.keys[-1]
            generation.keys.append(self.pool.publish(generation.table[index], parent, tokens))
            if self.disk is not None:
                self.disk.put(generation.keys[-1], parent, tokens, self.pages.read(generation.table[index]))


def _has_read(generation: Generation) -> bool:
    """Whether the entries of its prompt are written but for the last one, which whoever shares them computes anyway."""
    return generation.written >= generation.prompt_length - 1
