"""A document's tokens, whole or as fill-in-the-middle: pure functions of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from centime.data.order import mix
from centime.data.split import digest, is_held_out
from centime.data.tokenizers.tokenizer import FIM_BEGIN, FIM_END, FIM_HOLE, Tokenizer
from centime.errors import UserError

Ids = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Fim:
    """Fill in the middle, at document level, in the PSM form of DeepSeek-V3 (report, section 4.1, rate 0.1):

    <begin> prefix <hole> suffix <end> middle, then the end of sentence. The cuts fall between characters, anywhere
    (Bavarian et al. 2022, arXiv 2207.14255, section 3).
    """

    rate: float
    seed: int
    begin: int
    hole: int
    end: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, rate: float, seed: int) -> Fim | None:
        """None at a rate of 0. Raises UserError when the tokenizer lacks one of the three tokens."""
        if rate == 0:
            return None
        ids = [tokenizer.token_id(name) for name in (FIM_BEGIN, FIM_HOLE, FIM_END)]
        begin, hole, end = ids
        if begin is None or hole is None or end is None:
            raise UserError(
                f"{tokenizer.folder} has no {FIM_BEGIN}, {FIM_HOLE} and {FIM_END}, which --fim needs. Use --fim 0, or "
                "a tokenizer made by `centime tokenizer train`."
            )
        return cls(rate, seed, begin, hole, end)

    def cuts(self, text: str, content: int) -> tuple[int, int] | None:
        """Where the middle begins and ends, in characters; None for a document that stays whole."""
        key = mix(content, self.seed, 0x66696D)
        if len(text) < 3 or key >= self.rate * 2.0**64:
            return None
        first, second = sorted((mix(key, 1) % (len(text) + 1), mix(key, 2) % (len(text) + 1)))
        return first, second


@dataclass(frozen=True)
class Encoded:
    """A batch of documents for one split: tokens [sum of lengths], lengths and text_bytes [documents]."""

    tokens: Ids
    lengths: npt.NDArray[np.int64]
    text_bytes: npt.NDArray[np.int64]
    fim: int


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], holdout: float, fim: Fim | None) -> tuple[Encoded, Encoded]:
    """(train, held out): documents as [begin of sentence, text, end of sentence]. Held-out documents stay whole."""
    pieces: list[str] = []
    plans: list[tuple[bool, bool, int]] = []  # held out, filled in the middle, bytes of text
    for text in texts:
        raw = text.encode()
        content = digest(raw)
        held = is_held_out(content, holdout)
        cut = None if held or fim is None else fim.cuts(text, content)
        pieces += [text] if cut is None else [text[: cut[0]], text[cut[1] :], text[cut[0] : cut[1]]]
        plans.append((held, cut is not None, len(raw)))
    ids = iter(tokenizer.encode_documents(pieces))
    start = [] if tokenizer.bos_id is None else [np.array([tokenizer.bos_id], dtype=np.uint32)]
    end = np.array([tokenizer.eos_id], dtype=np.uint32)
    marks = None if fim is None else np.array([[fim.begin], [fim.hole], [fim.end]], dtype=np.uint32)
    rows: tuple[list[Ids], list[Ids]] = ([], [])
    sizes: tuple[list[int], list[int]] = ([], [])
    for held, filled, size in plans:
        if filled and marks is not None:
            prefix, suffix, middle = next(ids), next(ids), next(ids)
            parts = [*start, marks[0], prefix, marks[1], suffix, marks[2], middle, end]
        else:
            parts = [*start, next(ids), end]
        rows[held].append(np.concatenate(parts))
        sizes[held].append(size)
    filled_count = sum(filled for _, filled, _ in plans)
    return _packed(rows[False], sizes[False], filled_count), _packed(rows[True], sizes[True], 0)


def _packed(rows: list[Ids], sizes: list[int], fim: int) -> Encoded:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    tokens = np.concatenate(rows) if rows else np.empty(0, dtype=np.uint32)
    return Encoded(tokens, lengths, np.array(sizes, dtype=np.int64), fim)
