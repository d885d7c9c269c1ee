"""The paged cache in memory, and what a step's forward pass sees of it: tokens of many requests in one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby

import psutil
import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.model.cache import Attention, LayerCache, Queries, entry_width
from centime.ops.large_pages import Arena
from centime.ops.latent.past import Past, QueryGroup

SHORT = 512  # tokens of a past up to which attention together is worth bringing the entries together
TOGETHER = 16  # at least so many; of short ones as many more as GATHERED bytes of entries hold
GATHERED = 2**20


class Pages:
    """Entries of all layers for `blocks` blocks of `size` tokens: [layers, blocks * size, width].

    drafts: with those of the MTP module that guesses, the first one. What nothing writes has no place. routings: with
    the experts that each token visited in the decoder's MoE layers, integers [blocks * size, MoE layers, K a token].
    """

    def __init__(
        self,
        config: ModelConfig,
        blocks: int,
        size: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        *,
        drafts: bool = True,
        routings: bool = False,
    ) -> None:
        layers = config.num_hidden_layers + (drafts and config.num_nextn_predict_layers > 0)
        self.size = size
        shape, on_processor = (layers, blocks * size, entry_width(config)), torch.device(device).type == "cpu"
        self.stored = Arena().empty(shape, dtype) if on_processor else torch.empty(shape, dtype=dtype, device=device)
        self.experts: Tensor | None = None
        if routings and config.n_routed_experts:
            routed = sum(map(config.layer_has_experts, range(config.num_hidden_layers)))
            number = torch.uint8 if config.n_routed_experts <= 256 else torch.int16
            self.experts = torch.zeros(blocks * size, routed, config.num_experts_per_tok, dtype=number, device=device)

    @staticmethod
    def token_bytes(config: ModelConfig, dtype: torch.dtype, *, drafts: bool = True) -> int:
        """Memory of one token's entries."""
        layers = config.num_hidden_layers + (drafts and config.num_nextn_predict_layers > 0)
        return layers * entry_width(config) * dtype.itemsize

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copies the first `tokens` entries of a block to another: what two requests share only in part."""
        first, second = source * self.size, target * self.size
        self.stored[:, second : second + tokens] = self.stored[:, first : first + tokens]
        if self.experts is not None:
            self.experts[second : second + tokens] = self.experts[first : first + tokens]

    def read(self, block: int) -> Tensor:
        """A block's entries [layers, size, width], in place."""
        return self.stored[:, block * self.size : (block + 1) * self.size]

    def experts_of(self, table: Sequence[int], tokens: int) -> Tensor | None:
        """The experts that a request visited with its first tokens, [tokens, MoE layers, K]; None where none are."""
        if self.experts is None:
            return None
        where = _slots(table, tokens, self.size, self.experts.device)
        return self.experts[where[0] if isinstance(where, Tensor) else where].clone()


def free_cache_bytes(device: torch.device) -> int:
    """A quarter of the memory that is free now."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(free) // 4


@dataclass(slots=True)
class TokenSpan:
    """Consecutive tokens of one request in a step: `count` of them from position `start` on; `table` is its blocks."""

    table: Sequence[int]
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count


class StepCache:
    """The cache of one forward pass over packed tokens [1, N]: all spans' tokens, one span behind the other.

    Spans of a single token (decoding) come first; those of about the same past, while it is short, are attended over
    together, at most `together` of them. Longer spans, pieces of prompts, in whatever form is cheaper: neighbours of
    one length and one past together while that is short, others alone.
    """

    def __init__(self, pages: Pages, spans: Sequence[TokenSpan], together: int | None = None) -> None:
        self.pages = pages
        self.singles = next((i for i, span in enumerate(spans) if span.count > 1), len(spans))
        assert all(span.count > 1 for span in spans[self.singles :]), "single tokens come first"
        device = pages.stored.device
        at = [position for span in spans for position in range(span.start, span.end)]
        slots = [slot_of(span.table, place, pages.size) for span in spans for place in range(span.start, span.end)]
        self._positions = torch.tensor(at, device=device)
        self._slots = torch.tensor(slots, device=device)
        self._single_spans, self._together = spans[: self.singles], together
        self._longer, at_row = list[tuple[slice, int, slice | Tensor]](), self.singles
        for alike in _alike(spans[self.singles :], pages):
            rows, count, end = len(alike) * alike[0].count, alike[0].count, alike[0].end
            where = _slots(alike[0].table, end, pages.size, device)
            if len(alike) > 1:
                where = _filled_up(alike, end, pages.size, device)[0]
            self._longer.append((slice(at_row, at_row + rows), count, where))
            at_row += rows

    def positions(self, tokens: int) -> Tensor:
        assert tokens == len(self._positions)
        return self._positions

    def layer(self, number: int) -> LayerCache:
        return partial(self._attend, self.pages.stored[number])

    def advance(self, tokens: int) -> None:
        """Nothing to do: requests keep count of what is computed."""

    def keep_experts(self, chosen: Sequence[Tensor]) -> None:
        """Which experts the tokens of this pass visited: int64 [1, N, K] of every MoE layer."""
        if self.pages.experts is not None:
            self.pages.experts[self._slots] = torch.stack([ids[0] for ids in chosen], 1).to(self.pages.experts.dtype)

    def _attend(self, stored_SW: Tensor, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """Writes the entries of all tokens, then lets every token see its own request's up to itself."""
        stored_SW.index_copy_(0, self._slots, entry_BSW[0])
        parts = []
        if self.singles:
            first = tuple(q[:, : self.singles] for q in queries)
            parts.append(attention.decode(first, self._past(stored_SW)))
        for rows, count, where in self._longer:
            heads = attention.over(
                tuple(q[0, rows].unflatten(0, (-1, count)) for q in queries), _read(stored_SW, where)
            )
            parts.append(heads.flatten(0, 1)[None])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _past(self, stored_SW: Tensor) -> Past:
        """What the single tokens look back on in one layer."""

        def gathered() -> list[QueryGroup]:
            return [QueryGroup(rows, _read(stored_SW, where), unseen) for rows, where, unseen in self._groups]

        return Past(stored_SW, self.pages.size, *self._tables, gathered)

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor]:
        """Each single token's blocks [N, P], shorter rows filled up with block 0, and how many entries it sees [N]."""
        spans, device = self._single_spans, self.pages.stored.device
        longest = max(len(span.table) for span in spans)
        tables = [[*span.table, *[0] * (longest - len(span.table))] for span in spans]
        return torch.tensor(tables, device=device), torch.tensor([span.end for span in spans], device=device)

    @cached_property
    def _groups(self) -> list[tuple[Tensor, slice | Tensor, Tensor | None]]:
        return _groups(self._single_spans, self._together, self.pages)


def slot_of(table: Sequence[int], position: int, size: int) -> int:
    """Where in the pages a request's token stands."""
    return table[position // size] * size + position % size


def _read(stored_SW: Tensor, where: slice | Tensor) -> Tensor:
    """Entries [G, T, width] of slots [G, T], or in place those of a slice [1, T, width]."""
    if isinstance(where, slice):
        return stored_SW[None, where]
    return stored_SW.index_select(0, where.flatten()).view(*where.shape, -1)


def _slots(table: Sequence[int], tokens: int, size: int, device: torch.device) -> slice | Tensor:
    """The slots [1, T] of a request's first tokens: a slice where its blocks are neighbours."""
    blocks = table[: -(-tokens // size)]
    if all(b == blocks[0] + i for i, b in enumerate(blocks)):
        return slice(blocks[0] * size, blocks[0] * size + tokens)
    starts = torch.tensor(blocks, device=device) * size
    return (starts[:, None] + torch.arange(size, device=device)).flatten()[None, :tokens]


def _together(tokens: int, pages: Pages) -> int:
    """How many pasts of as many tokens are brought together."""
    width = pages.stored.shape[2] * pages.stored.element_size()
    return max(TOGETHER, GATHERED // (tokens * width))


def _alike(longer: Sequence[TokenSpan], pages: Pages) -> Iterator[list[TokenSpan]]:
    """Neighbours of one length and one short past, as many as are attended over together."""
    for (_, end), run in groupby(longer, key=lambda span: (span.count, span.end)):
        spans, most = list(run), _together(end, pages) if end <= SHORT else 1
        yield from (spans[i : i + most] for i in range(0, len(spans), most))


def _groups(
    singles: Sequence[TokenSpan], together: int | None, pages: Pages
) -> list[tuple[Tensor, slice | Tensor, Tensor | None]]:
    """(rows, slots [G, T], unseen [G, T]) of those that are attended over together."""
    size, device = pages.size, pages.stored.device
    alike: dict[int, list[int]] = {}
    for row, span in enumerate(singles):
        alike.setdefault(_rounded(span.end) if span.end <= SHORT else -1 - row, []).append(row)
    groups: list[tuple[Tensor, slice | Tensor, Tensor | None]] = []
    for length, rows in alike.items():
        most = together or (_together(length, pages) if length > 0 else 1)
        for some in (rows[i : i + most] for i in range(0, len(rows), most)):
            chosen = [singles[row] for row in some]
            if len(some) == 1:
                where, unseen = _slots(chosen[0].table, chosen[0].end, size, device), None
            else:
                where, unseen = _filled_up(chosen, length, size, device)
            groups.append((torch.tensor(some, device=device), where, unseen))
    return groups


def _filled_up(spans: Sequence[TokenSpan], length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Slots [G, T] of each one's past, its first slot repeated up to `length`; and which those are."""
    blocks = -(-length // size)
    tables = [[*span.table[:blocks], *[span.table[0]] * (blocks - len(span.table))] for span in spans]
    places = torch.arange(blocks * size, device=device)
    slots = torch.tensor(tables, device=device)[:, places // size] * size + places % size
    unseen = places[:length] >= torch.tensor([span.end for span in spans], device=device)[:, None]
    return slots[:, :length].where(~unseen, slots[:, :1]), unseen


def _rounded(tokens: int) -> int:
    """A length at least that long of few: 32, 64, 96, 128, 192, 256, 384, 512. Libraries prepare a kernel for each."""
    step = max(32, (1 << (tokens - 1).bit_length()) // 4)
    return -(-tokens // step) * step
