"""The paged cache in memory, and what a step's forward pass sees of it: tokens of many requests in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.model.attention import Attention, Queries
from centime.model.cache import LayerCache, entry_width


class Pages:
    """Entries of all layers, MTP modules' too, for `blocks` blocks of `size` tokens: [layers, blocks * size, width]."""

    def __init__(
        self, config: ModelConfig, blocks: int, size: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        layers = config.num_hidden_layers + config.num_nextn_predict_layers
        self.size = size
        self.stored = torch.empty(layers, blocks * size, entry_width(config), dtype=dtype, device=device)

    @staticmethod
    def token_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
        """Memory of one token's entries."""
        layers = config.num_hidden_layers + config.num_nextn_predict_layers
        return layers * entry_width(config) * dtype.itemsize

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copies the first `tokens` entries of a block to another: what two requests share only in part."""
        first, second = source * self.size, target * self.size
        self.stored[:, second : second + tokens] = self.stored[:, first : first + tokens]

    def read(self, block: int) -> Tensor:
        """A block's entries [layers, size, width], in place."""
        return self.stored[:, block * self.size : (block + 1) * self.size]


@dataclass(frozen=True)
class Span:
    """Consecutive tokens of one request in a step: `count` of them from position `start` on; `table` is its blocks."""

    table: Sequence[int]
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count


class StepCache:
    """The cache of one forward pass over packed tokens [1, N]: all spans' tokens, one span behind the other.

    Spans of a single token (decoding) come first and are attended over together; each longer one, a piece of a prompt,
    alone, in whatever form is cheaper.
    """

    def __init__(self, pages: Pages, spans: Sequence[Span]) -> None:
        self.pages = pages
        self.singles = next((i for i, span in enumerate(spans) if span.count > 1), len(spans))
        assert all(span.count > 1 for span in spans[self.singles :]), "single tokens come first"
        device = pages.stored.device
        at: list[int] = []
        slots: list[int] = []
        self._reads: list[slice | Tensor] = []  # where each span's entries stand, in place where they are neighbours
        self._rows: list[slice] = []
        for span in spans:
            self._rows.append(slice(len(at), len(at) + span.count))
            at += range(span.start, span.end)
            slots += (slot_of(span.table, position, pages.size) for position in range(span.start, span.end))
            self._reads.append(_slots(span.table, span.end, pages.size, device))
        self._positions = torch.tensor(at, device=device)
        self._slots = torch.tensor(slots, device=device)

    def positions(self, tokens: int) -> Tensor:
        assert tokens == len(self._positions)
        return self._positions

    def layer(self, number: int) -> LayerCache:
        return _StepLayer(self, self.pages.stored[number])

    def advance(self, tokens: int) -> None:
        """Nothing to do: requests keep count of what is computed."""

    def attend(self, stored_SW: Tensor, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """Writes the entries of all tokens, then lets every token see its own request's up to itself."""
        stored_SW.index_copy_(0, self._slots, entry_BSW[0])
        parts = []
        if self.singles:
            first = tuple(q[:, : self.singles] for q in queries)
            parts.append(attention.decode(first, [self._read(stored_SW, i) for i in range(self.singles)]))
        for i in range(self.singles, len(self._rows)):
            own = tuple(q[:, self._rows[i]] for q in queries)
            parts.append(attention.over(own, self._read(stored_SW, i)[None]))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _read(self, stored_SW: Tensor, span: int) -> Tensor:
        where = self._reads[span]
        return stored_SW[where] if isinstance(where, slice) else stored_SW.index_select(0, where)


class _StepLayer:
    """One layer of a StepCache."""

    def __init__(self, step: StepCache, stored_SW: Tensor) -> None:
        self._step, self._stored = step, stored_SW

    def attend(self, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        return self._step.attend(self._stored, attention, queries, entry_BSW)


def slot_of(table: Sequence[int], position: int, size: int) -> int:
    """Where in the pages a request's token stands."""
    return table[position // size] * size + position % size


def _slots(table: Sequence[int], tokens: int, size: int, device: torch.device) -> slice | Tensor:
    """The slots of a request's first tokens: a slice where its blocks are neighbours."""
    blocks = table[: -(-tokens // size)]
    if all(b == blocks[0] + i for i, b in enumerate(blocks)):
        return slice(blocks[0] * size, blocks[0] * size + tokens)
    starts = torch.tensor(blocks, device=device) * size
    return (starts[:, None] + torch.arange(size, device=device)).flatten()[:tokens]
