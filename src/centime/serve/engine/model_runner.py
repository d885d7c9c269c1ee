"""The forward pass of a step: packed tokens through the model, logits where a token is drawn, and MTP's guesses.

Letters of shapes: N tokens of a step, R rows of logits, D the model's width, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.model import Transformer
from centime.model.experts import Experts
from centime.model.packed import is_in_panels
from centime.model.router import Routing
from centime.ops.routed_experts import routed_experts_by_tile
from centime.serve.kv_cache.paged_cache import Pages, StepCache, TokenSpan

FEW = 4  # tokens of a span up to which they are attended over one by one, together with everybody's single tokens
TILE = 16  # rows of every product in deterministic mode
SCRATCH = 0  # the block where rows that fill up a tile leave their entries


class ModelRunner:
    """One model over one paged cache. vocabulary: how many ids stand for something; the model may have more rows."""

    def __init__(self, model: Transformer, pages: Pages, vocabulary: int) -> None:
        self.model, self.pages, self.vocabulary = model, pages, vocabulary
        self.device = model.head_weight.device

    @torch.inference_mode()
    def hidden(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> Tensor:
        """Normed hidden states [N, D] of all spans' tokens, in their order; their entries are kept."""
        return self._states(spans, tokens)

    @torch.inference_mode()
    def guesses(
        self, spans: Sequence[TokenSpan], hidden_ND: Tensor, next_tokens: Sequence[int], rows: list[int]
    ) -> Tensor:
        """MTP on states and the N tokens after them; the likeliest tokens after those at `rows`, int64 [len(rows)]."""
        return self.logits(self._states(spans, next_tokens, hidden_ND)[rows]).argmax(-1)

    @torch.inference_mode()
    def logits(self, hidden_RD: Tensor) -> Tensor:
        """Logits [R, V], V = `vocabulary`: the head's rows that no token has are left out."""
        return self.model.unembed(hidden_RD)[:, : self.vocabulary]

    def _states(self, spans: Sequence[TokenSpan], tokens: Sequence[int], before_ND: Tensor | None = None) -> Tensor:
        """States [N, D] of the tokens, in their order: the decoder's, or MTP's where those before them are given."""
        order, cache = self._arranged(spans)
        ids = torch.tensor([tokens], device=self.device)[:, order]
        states = self._forward(ids, cache, None if before_ND is None else before_ND[order])
        return torch.empty_like(states).index_copy_(0, order, states)

    def _forward(self, ids_1N: Tensor, cache: StepCache, before_ND: Tensor | None) -> Tensor:
        if before_ND is not None:
            return self.model.guess(before_ND[None], ids_1N, cache)[0]
        routings: list[Routing] | None = None if self.pages.experts is None else []
        states = self.model.advance(ids_1N, cache, routings)
        if routings:
            cache.keep_experts([routing.expert_ids for routing in routings])
        return states[0]

    def _arranged(self, spans: Sequence[TokenSpan]) -> tuple[Tensor, StepCache]:
        """The spans with those of few tokens first and taken apart, like ones together; where their tokens stood."""
        firsts, at = [], 0
        for span in spans:
            firsts.append(at)
            at += span.count
        if all(span.count == 1 for span in spans):
            return torch.arange(len(spans), device=self.device), StepCache(self.pages, spans)
        short = [(first, span) for first, span in zip(firsts, spans, strict=True) if span.count <= FEW]
        long = [(first, span) for first, span in zip(firsts, spans, strict=True) if span.count > FEW]
        long.sort(key=lambda one: (one[1].count, one[1].end))  # those alike are attended over together
        order = [first + i for first, span in short + long for i in range(span.count)]
        parts = [TokenSpan(span.table, span.start + i, 1) for _, span in short for i in range(span.count)]
        return torch.tensor(order, device=self.device), StepCache(self.pages, parts + [span for _, span in long])


class DeterministicModelRunner(ModelRunner):
    """The same bits for a token whatever else is in the step: an attention for every token, and products alike.

    Matrices in panels treat each row alike, however many there are. Others do so where the shape of the product is
    always the same: TILE rows in every product, so that prompts cost what decoding costs; docs/serve.md states how much
    that is. A token's attention depends on its position alone.
    """

    def __init__(self, model: Transformer, pages: Pages, vocabulary: int) -> None:
        super().__init__(model, pages, vocabulary)
        self.tile = None if is_in_panels(model) else TILE
        self._experts = [module for module in model.modules() if isinstance(module, Experts)]

    def _forward(self, ids_1N: Tensor, cache: StepCache, before_ND: Tensor | None) -> Tensor:
        """As the base has it, with experts by tile while it lasts: the same modules may be in training meanwhile."""
        usual = [module.operation for module in self._experts]
        try:
            for module in self._experts:
                module.operation = routed_experts_by_tile
            return super()._forward(ids_1N, cache, before_ND)
        finally:
            for module, operation in zip(self._experts, usual, strict=True):
                module.operation = operation

    def _states(self, spans: Sequence[TokenSpan], tokens: Sequence[int], before_ND: Tensor | None = None) -> Tensor:
        rows, at = [], 0
        for parts, ids in self._tiles(spans, tokens):
            before = None if before_ND is None else _padded(before_ND[at : at + len(ids)], len(ids))
            cache = StepCache(self.pages, parts, together=1)
            rows.append(self._forward(torch.tensor([ids], device=self.device), cache, before))
            at += len(ids)
        return torch.cat(rows)[: len(tokens)]

    @torch.inference_mode()
    def logits(self, hidden_RD: Tensor) -> Tensor:
        if self.tile is None:
            return super().logits(hidden_RD)
        tiles = [self.model.unembed(_padded(tile, self.tile)) for tile in hidden_RD.split(self.tile)]
        return torch.cat(tiles)[: len(hidden_RD), : self.vocabulary]

    def _tiles(self, spans: Sequence[TokenSpan], tokens: Sequence[int]) -> list[tuple[list[TokenSpan], list[int]]]:
        """Single-token spans and their ids: all at once, or a tile at a time, the last one filled up with scratch."""
        parts = [TokenSpan(span.table, span.start + i, 1) for span in spans for i in range(span.count)]
        size = self.tile or len(parts)
        missing = -len(parts) % size
        parts += [TokenSpan((SCRATCH,), 0, 1)] * missing
        ids = [*tokens, *[0] * missing]
        return [(parts[i : i + size], ids[i : i + size]) for i in range(0, len(parts), size)]


def _padded(rows_ND: Tensor, size: int) -> Tensor:
    """[size, D] with rows of zeros behind."""
    return torch.cat((rows_ND, rows_ND.new_zeros(size - len(rows_ND), rows_ND.shape[1])))
