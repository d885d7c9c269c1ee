"""Preferences: two answers to one conversation, of which the first is better, as two samples that share a row."""

from __future__ import annotations

from centime.data.chats import Segment, last_answer, preference
from centime.data.pairs import PackedPairs, PairLoader
from centime.data.sources import local_file, records
from centime.data.tokenizers import ChatEncoder


class PreferenceLoader(PackedPairs):
    """Rows of a chosen and a rejected chat, in this order; the mask is on their last answers alone."""

    together = 2
    noun = "pair"

    def _rendered(self, encoder: ChatEncoder) -> tuple[list[list[Segment]], list[str]]:
        cuts: list[list[Segment]] = []
        places: list[str] = []
        for where, record, _ in records(local_file(self.path)):
            pair = preference(record, where)
            cuts += [last_answer(encoder, chat, where) for chat in (pair.chosen, pair.rejected)]
            places += [where] * 2
        return cuts, places

    def _packs(self) -> list[list[int]]:
        return [[first, first + 1] for first in range(0, self.samples, 2)]

    def said(self) -> list[str]:
        return PairLoader.said(self)
