"""Blocks of the paged cache: who uses which, which prefixes they hold, and which to give up when room is needed.

A block is `size` token slots of every layer. A full block is known by a chained hash: of its own tokens and of the key
of the block before it, so that a key names a whole prefix. Requests that begin alike share blocks. A block that nobody
uses keeps its content until its room is needed; the least recently used goes first, the end of a prefix before its
beginning.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from centime.serve.kv_cache.free_runs import FreeRuns

Key = bytes
KEY_BYTES = 16


def root_key(isolation: str) -> Key:
    """Where the chains of one isolation begin; two isolations never share a block."""
    return hashlib.blake2b(b"centime prefix:" + isolation.encode(), digest_size=KEY_BYTES).digest()


def block_key(parent: Key, tokens: Sequence[int]) -> Key:
    """The key of the prefix that ends with `tokens` after the prefix `parent`."""
    return hashlib.blake2b(parent + array("I", tokens).tobytes(), digest_size=KEY_BYTES).digest()


@dataclass
class Block:
    """One block. key, parent and tokens are set once it is full and its content may be shared."""

    users: int = 0
    key: Key | None = None
    parent: Key | None = None
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Match:
    """A prefix found: `blocks` are whole and shared; `partial_tokens` more stand at the start of block `partial`."""

    blocks: list[int] = field(default_factory=list)
    key: Key = b""  # of the last whole block, or the root
    partial: int | None = None
    partial_tokens: int = 0


class BlockPool:
    """`count` blocks of `size` tokens. Not thread-safe: the engine's thread owns it."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.blocks = [Block() for _ in range(count)]
        self._empty = FreeRuns(count)  # nothing worth keeping in them
        self._unused: OrderedDict[int, None] = OrderedDict()  # cached and nobody's, least recently used first
        self._by_key: dict[Key, int] = {}
        # the blocks that follow a prefix, by their tokens: the one most like another stands beside its place
        self._children: dict[Key, list[tuple[tuple[int, ...], int]]] = {}

    @property
    def free(self) -> int:
        """Blocks that can be had, cached but unused ones included."""
        return len(self._empty) + len(self._unused)

    @property
    def cached(self) -> int:
        """Blocks that nobody uses and that a later request may still find."""
        return len(self._unused)

    def find(self, key: Key, parent: Key, tokens: Sequence[int]) -> int | None:
        """The block of `key`, if its tokens and its parent are really these: a hash alone is not trusted."""
        number = self._by_key.get(key)
        if number is None:
            return None
        block = self.blocks[number]
        return number if block.parent == parent and block.tokens == tuple(tokens) else None

    def match(self, tokens: Sequence[int], isolation: str) -> Match:
        """The longest cached beginning of `tokens`, whole blocks and then a part of one. Takes no block into use."""
        key, found = root_key(isolation), list[int]()
        for start in range(0, len(tokens) - self.size + 1, self.size):
            piece = tuple(tokens[start : start + self.size])
            number = self.find(block_key(key, piece), key, piece)
            if number is None:
                break
            found.append(number)
            key = block_key(key, piece)
        rest = tuple(tokens[len(found) * self.size : (len(found) + 1) * self.size])
        best, length = None, 0
        siblings = self._children.get(key, [])
        place = bisect_left(siblings, (rest, -1))
        for tokens_there, number in siblings[max(0, place - 1) : place + 1]:
            same = _common(tokens_there, rest)
            if same > length:
                best, length = number, same
        return Match(found, key, best, length)

    def use(self, numbers: Sequence[int]) -> None:
        """One more user for each of these cached or used blocks."""
        for number in numbers:
            self.hold(number)

    def hold(self, number: int) -> None:
        """One more user for a cached or used block."""
        if self.blocks[number].users == 0:
            self._unused.pop(number)
        self.blocks[number].users += 1

    def take(self, count: int, after: int | None = None) -> list[int] | None:
        """`count` blocks with one user each, as far as possible one behind the other and behind `after`.

        Neighbours let attention read a sequence's entries in place. None, and nothing taken, when there are too few.
        """
        if count > self.free:
            return None
        taken: list[int] = []
        for _ in range(count):
            number = self._next(after)
            self.blocks[number] = Block(users=1)
            taken.append(number)
            after = number
        return taken

    def _next(self, after: int | None) -> int:
        if self._empty:
            # a new sequence has most room to grow where the longest run of empty blocks begins
            number = after + 1 if after is not None and after + 1 in self._empty else self._empty.longest()
            self._empty.remove(number)
            return number
        number, _ = self._unused.popitem(last=False)
        self._forget(number)
        return number

    def release(self, numbers: Sequence[int]) -> None:
        """One user fewer for each; the end of a prefix becomes the first to go."""
        for number in reversed(numbers):
            block = self.blocks[number]
            block.users -= 1
            if block.users == 0:
                if block.key is None:
                    self._empty.add(number)
                else:
                    self._unused[number] = None

    def publish(self, number: int, parent: Key, tokens: Sequence[int]) -> Key:
        """The block is full of these tokens: later requests may find it. Returns its key.

        When another block already holds the same prefix, that one stays the known one.
        """
        key = block_key(parent, tokens)
        if key not in self._by_key:
            block = self.blocks[number]
            block.key, block.parent, block.tokens = key, parent, tuple(tokens)
            self._by_key[key] = number
            insort(self._children.setdefault(parent, []), (block.tokens, number))
        return key

    def forget_all(self) -> None:
        """No prefix is known any more: their entries are of weights that have changed. Blocks in use stay in use."""
        for number in self._unused:
            self._empty.add(number)
        self._unused.clear()
        for number in self._by_key.values():
            block = self.blocks[number]
            block.key, block.parent, block.tokens = None, None, ()
        self._by_key.clear()
        self._children.clear()

    def _forget(self, number: int) -> None:
        block = self.blocks[number]
        assert block.key is not None
        assert block.parent is not None
        del self._by_key[block.key]
        siblings = self._children[block.parent]
        del siblings[bisect_left(siblings, (block.tokens, number))]
        if not siblings:
            del self._children[block.parent]

    def check(self, tables: Sequence[Sequence[int]]) -> None:
        """Raises AssertionError unless users, free lists and keys agree with the block tables of all requests."""
        self._empty.check()
        users = [0] * len(self.blocks)
        for table in tables:
            assert len(set(table)) == len(table), "a block twice in one table"
            for number in table:
                users[number] += 1
        for number, block in enumerate(self.blocks):
            assert block.users == users[number], f"block {number}: {block.users} users booked, {users[number]} found"
            empty, unused = number in self._empty, number in self._unused
            assert (block.users > 0) + empty + unused == 1, f"block {number} is in two places or in none"
            assert not (empty and block.key), f"block {number} is empty and known"
            assert not (unused and block.key is None), f"block {number} is cached and unknown"
            if block.key is not None:
                assert self._by_key[block.key] == number
                assert block.parent is not None
                assert block.key == block_key(block.parent, block.tokens)
                assert (block.tokens, number) in self._children[block.parent]
        assert sum(block.key is not None for block in self.blocks) == len(self._by_key)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two lists begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
