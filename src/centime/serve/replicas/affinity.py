"""Which replica a prompt goes to: the one that has computed most of its beginning, unless others have less to do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from centime.serve.kv_cache.block_pool import Key, block_key, root_key

PREFIXES = 2**18  # remembered, the least recently used forgotten first: 8 M tokens in blocks of 32
BUSY = 128  # tokens of prompt that an answer in progress counts for: its steps slow all others of its replica


class Affinity:
    """Remembers, by the engines' own chained block keys, which replicas were sent which prefixes.

    It is a guess at what their caches hold. A wrong one costs a prompt computed again, never a wrong answer.
    """

    def __init__(self, block_tokens: int, most: int = PREFIXES) -> None:
        self._block_tokens, self._most = block_tokens, most
        self._holders: OrderedDict[Key, set[str]] = OrderedDict()

    def choose(self, prompt: Sequence[int], isolation: str, running: Mapping[str, int]) -> str:
        """The replica where the least is to be done before this prompt is answered.

        running: answers in progress of every replica that may be chosen, at least one. Of equals, the first.
        """
        found = dict.fromkeys(running, 0)  # tokens of the prompt that a replica has
        for length, key in self._prefixes(prompt, isolation):
            holders = self._holders.get(key)
            if not holders:
                break
            for replica in holders & found.keys():
                found[replica] = length
        return min(running, key=lambda replica: running[replica] * BUSY - found[replica])

    def sent(self, prompt: Sequence[int], isolation: str, replica: str) -> None:
        """The replica computes this prompt now."""
        for _, key in self._prefixes(prompt, isolation):
            self._holders.setdefault(key, set()).add(replica)
            self._holders.move_to_end(key)
        while len(self._holders) > self._most:
            self._holders.popitem(last=False)

    def forget(self, replica: str) -> None:
        """The replica has lost its cache."""
        empty = []
        for key, holders in self._holders.items():
            holders.discard(replica)
            if not holders:
                empty.append(key)
        for key in empty:
            del self._holders[key]

    def _prefixes(self, prompt: Sequence[int], isolation: str) -> Iterator[tuple[int, Key]]:
        """(length, key) of the prompt's beginnings that fill whole blocks."""
        key = root_key(isolation)
        for end in range(self._block_tokens, len(prompt) + 1, self._block_tokens):
            key = block_key(key, prompt[end - self._block_tokens : end])
            yield end, key
