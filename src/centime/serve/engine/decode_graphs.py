"""Decoding steps as CUDA graphs: a step of many small launches is recorded once and replayed as one.

A step of single tokens differs from the next in numbers alone, not in shapes, once it is filled up to one of a few
sizes. Its ids, positions, slots and tables stand in tensors that stay; a replay reads what was last copied there.

Letters of shapes: N tokens of a step, one a request; P blocks of a table; D the model's width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from centime.model import Transformer
from centime.model.cache import Attention, LayerCache, Queries
from centime.ops.latent.past import Past, QueryGroup
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.kv_cache.paged_cache import Pages, TokenSpan, slot_of

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of recorded steps, in tokens; a larger step is not replayed
SCRATCH_SLOT = 0  # of block 0: where rows that fill up a step leave their entries
Record = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Of a computation without arguments one that does it again, with what its tensors then hold, and gives its result."""


class DecodeGraphs:
    """The steps of one model over one paged cache. `record`: `cuda_graphs`, or what else repeats a computation."""

    def __init__(self, model: Transformer, pages: Pages, record: Record) -> None:
        self.model, self.pages, self.record = model, pages, record
        self.works = True
        self._steps: dict[tuple[int, int], _RecordedStep] = {}

    def hidden(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor | None:
        """Normed hidden states [N, D] of single tokens, their entries kept; None where the step is not one for this.

        What a recording raises ends all recording, with a line that says why: steps are then computed as others are.
        """
        if not self.works or len(spans) > SIZES[-1] or any(span.count != 1 for span in spans):
            return None
        size = next(size for size in SIZES if size >= len(spans))
        width = 1 << (max(len(span.table) for span in spans) - 1).bit_length()
        try:
            step = self._steps.get((size, width)) or self._recorded(size, width)
        except RuntimeError as error:
            self.works = False
            reason = str(error).strip().partition("\n")[0]
            print(f"centime: decoding steps are not recorded as CUDA graphs, slower: {reason}", file=sys.stderr)
            return None
        step.set(spans, tokens)
        states: Tensor = step.replay()[0, : len(spans)]
        return states

    def _recorded(self, size: int, width: int) -> _RecordedStep:
        step = self._steps[size, width] = _RecordedStep(self.pages, size, width)
        step.replay = self.record(lambda: self.model.advance(step.ids_1N, step))
        return step


class _RecordedStep:
    """The numbers of a step of N rows over tables of P blocks, and the cache that the model sees of them."""

    replay: Callable[[], Tensor]
    _positions_N: Tensor
    _slots_N: Tensor  # where in the pages each row's entry goes
    _lengths_N: Tensor  # entries that each row sees

    def __init__(self, pages: Pages, size: int, width: int) -> None:
        device = pages.stored.device
        self.pages = pages
        self._tables_NP = torch.zeros(size, width, dtype=torch.int64, device=device)
        self._numbers = torch.zeros(4, size, dtype=torch.int64, device=device)  # one tensor: one copy a step
        self.ids_1N = self._numbers[:1]
        self._positions_N, self._slots_N, self._lengths_N = self._numbers[1:]
        self._lengths_N.fill_(1)

    def set(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> None:
        """This step's numbers. Rows that fill up see one entry, the scratch block's first."""
        size, width = self._tables_NP.shape
        columns = [
            (token, span.start, slot_of(span.table, span.start, self.pages.size), span.end)
            for span, token in zip(spans, tokens, strict=True)
        ]
        columns += [(0, 0, SCRATCH_SLOT, 1)] * (size - len(spans))
        tables = [[*span.table, *[0] * (width - len(span.table))] for span in spans]
        self._numbers.copy_(torch.tensor(columns).t())
        self._tables_NP[: len(spans)].copy_(torch.tensor(tables))

    def positions(self, tokens: int) -> Tensor:
        return self._positions_N

    def layer(self, number: int) -> LayerCache:
        return partial(self._attend, self.pages.stored[number])

    def advance(self, tokens: int) -> None:
        """Nothing to do: requests keep count of what is computed."""

    def _attend(self, stored_SW: Tensor, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        stored_SW.index_copy_(0, self._slots_N, entry_BSW[0])
        groups = partial(self._groups, stored_SW)
        return attention.decode(queries, Past(stored_SW, self.pages.size, self._tables_NP, self._lengths_N, groups))

    def _groups(self, stored_SW: Tensor) -> list[QueryGroup]:
        """Each row by itself, for an attention that does not read pages in place."""
        groups, within = [], torch.arange(self.pages.size, device=stored_SW.device)
        for row, length in enumerate(self._lengths_N.tolist()):
            slots = (self._tables_NP[row, :, None] * self.pages.size + within).flatten()[:length]
            groups.append(QueryGroup(torch.tensor([row], device=stored_SW.device), stored_SW[slots][None]))
        return groups


def cuda_graphs() -> Record:
    """What records computations as CUDA graphs, of which one at a time is replayed: they share their memory."""
    pool = torch.cuda.graph_pool_handle()

    def record(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # before it is recorded, so that what is allocated or compiled once is there
            compute()
            compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            result = compute()

        def replay() -> Tensor:
            graph.replay()
            return result.clone()

        return replay

    return record


class GraphedModelRunner(ModelRunner):
    """The same, with steps of nothing but decoding replayed."""

    def __init__(self, model: Transformer, pages: Pages, vocabulary: int, record: Record | None = None) -> None:
        super().__init__(model, pages, vocabulary)
        self.graphs = DecodeGraphs(model, pages, record or cuda_graphs())

    def _states(self, spans: Sequence[TokenSpan], tokens: Sequence[int], before_ND: Tensor | None = None) -> Tensor:
        replayed = None if before_ND is not None else self.graphs.hidden(spans, tokens)
        return super()._states(spans, tokens, before_ND) if replayed is None else replayed
