"""Prompt-answer pairs for supervised fine-tuning: rows with a loss mask on the answer alone.

A file of JSON lines, each {"prompt", "answer"} or {"messages": [{"role", "content"}, ...]}, rendered with the
tokenizer's chat template. The mask covers what the assistant says and the end-of-sentence token after it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from centime.data.order import shuffled
from centime.data.sources import SourceFile, local_file, records
from centime.data.tokenizers import ChatEncoder, Tokenizer
from centime.errors import UserError

Int64 = npt.NDArray[np.int64]
Segment = tuple[str, bool]
"""A stretch of rendered text and whether the loss falls on it."""

ROUND = 16
"""Rows are as long as the longest among those asked for, rounded up to this, so that few shapes occur."""


def segments(encoder: ChatEncoder, messages: list[dict[str, Any]], where: str) -> list[Segment]:
    """The rendered conversation, cut where the assistant's turns begin and end, for `encoder` to encode.

    A turn begins where the template, asked for a generation prompt, leaves off: training sees what generation will.
    Raises UserError naming `where`.
    """
    guarded = encoder.guarded(messages)
    whole = encoder.render_guarded(guarded, add_generation_prompt=False)
    cut: list[Segment] = []
    done = 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = encoder.render_guarded(guarded[:number], add_generation_prompt=True)
        to_here = guarded[: number + 1]
        after = whole if to_here == guarded else encoder.render_guarded(to_here, add_generation_prompt=False)
        if not (whole.startswith(before) and whole.startswith(after) and len(before) < len(after)):
            raise UserError(
                f"{where}: the chat template of {encoder.folder} writes this conversation differently once it goes on"
                " (it rewrites earlier turns), so the answer cannot be told from the prompt. Give one exchange a line, "
                "or a template that only appends."
            )
        cut += [(whole[done : len(before)], False), (whole[len(before) : len(after)], True)]
        done = len(after)
    return cut  # what follows the last answer teaches nothing


def messages_of(record: Any, where: str) -> list[dict[str, Any]]:
    """The messages of a line, checked. Raises UserError naming `where`."""
    if isinstance(record, dict) and {"prompt", "answer"} <= record.keys():
        messages: Any = [
            {"role": "user", "content": record["prompt"]},
            {"role": "assistant", "content": record["answer"]},
        ]
    elif isinstance(record, dict) and "messages" in record:
        messages = record["messages"]
    else:
        found = f"the keys {', '.join(map(repr, record))}" if isinstance(record, dict) else f"a {type(record).__name__}"
        raise UserError(
            f'{where} has {found}; expected {{"prompt": text, "answer": text}} or '
            '{"messages": [{"role": ..., "content": ...}, ...]}. Rename the keys.'
        )
    sound = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    )
    if not sound:
        raise UserError(f"{where}: every message needs a role and a content, both text. Mend the line.")
    if not any(m["role"] == "assistant" for m in messages):
        raise UserError(f"{where} has no answer: no message of the role 'assistant'. Add one, or leave the line out.")
    return list(messages)


class PairLoader:
    """Rows of one pair each, right-padded: a pure function of (seed, row number), shuffled anew each epoch."""

    def __init__(
        self, path: str | Path, tokenizer: Tokenizer, sequence_length: int, seed: int = 0, extra: int = 1
    ) -> None:
        """Read, render and tokenise every pair of a .jsonl (.gz, .zst) file; 4 bytes of memory a token.

        Pairs longer than sequence_length + extra tokens are left out, counted in `skipped`: cut, they would teach the
        model to stop short. Raises UserError on a line that is no pair, or when no pair is left.
        """
        self.sequence_length, self.extra, self.seed = sequence_length, extra, seed
        self.pad_id = tokenizer.pad_id
        file = local_file(Path(path))
        encoder = ChatEncoder(tokenizer)
        texts, masked, counts = _render(file, encoder)
        if not counts:
            raise UserError(f"{path} holds no pairs: it is empty. Expected one JSON object a line.")
        ids = encoder.encode_batch(texts)
        rows, masks, longest, at = [], [], 0, 0
        for count in counts:
            row = [i for part in ids[at : at + count] for i in part]
            mask = [on for part, on in zip(ids[at : at + count], masked[at : at + count], strict=True) for _ in part]
            at += count
            longest = max(longest, len(row))
            if len(row) <= sequence_length + extra:
                rows.append(np.array(row, dtype=np.int32))
                masks.append(np.array(mask, dtype=np.bool_))
        self.skipped = len(counts) - len(rows)
        if not rows:
            raise UserError(
                f"Every pair of {path} is longer than a row of {sequence_length} tokens (the longest has {longest:,}). "
                "Raise the stage's sequence length."
            )
        self._ends = np.cumsum([len(row) for row in rows])
        self._tokens, self._mask = np.concatenate(rows), np.concatenate(masks)
        self.pairs = len(rows)
        self.total_tokens = int(self._mask.sum())
        """Tokens that the loss falls on, in one epoch."""
        self._order: tuple[int, npt.NDArray[np.uint32]] = (-1, np.empty(0, dtype=np.uint32))

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the rows; a resumed run compares it to know that its data is still the same."""
        what = hashlib.sha256(self._tokens.tobytes() + self._mask.tobytes() + self._ends.tobytes())
        what.update(repr((self.sequence_length, self.extra, self.seed)).encode())
        return what.hexdigest()

    def _pair(self, row: int) -> int:
        epoch, offset = divmod(row, self.pairs)
        if self._order[0] != epoch:
            self._order = (epoch, shuffled(self.pairs, self.seed, epoch))
        return int(self._order[1][offset])

    def rows(self, first: int, count: int) -> tuple[Int64, npt.NDArray[np.bool_]]:
        """(tokens [count, S'] int64, loss_mask [count, S'] bool) of the rows [first, first + count).

        S' is the longest of these rows rounded up to 16, and at most S + extra. loss_mask[r, j] says that tokens[r, j]
        is to be predicted (from the tokens before it); padding is tokenizer.pad_id, never in the mask.
        """
        chosen = [self._pair(row) for row in range(first, first + count)]
        ends = self._ends[chosen]
        begins = np.where(np.asarray(chosen) > 0, self._ends[np.asarray(chosen, dtype=np.int64) - 1], 0)
        longest = int((ends - begins).max(initial=1))
        width = min(-(-longest // ROUND) * ROUND, self.sequence_length + self.extra)
        tokens = np.full((count, width), self.pad_id, dtype=np.int64)
        mask = np.zeros((count, width), dtype=np.bool_)
        for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            tokens[row, : end - begin] = self._tokens[begin:end]
            mask[row, : end - begin] = self._mask[begin:end]
        return tokens, mask


def _render(file: SourceFile, encoder: ChatEncoder) -> tuple[list[str], list[bool], list[int]]:
    """(texts, masked, segments of each pair) of a whole file."""
    texts: list[str] = []
    masked: list[bool] = []
    counts: list[int] = []
    for where, record, _ in records(file):
        cut = segments(encoder, messages_of(record, where), where)
        texts += [text for text, _ in cut]
        masked += [on for _, on in cut]
        counts.append(len(cut))
    return texts, masked, counts
