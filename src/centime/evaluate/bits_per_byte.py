"""Bits per byte: how many bits a model needs for every byte of some text, tokenizer and all.

The text is one stream of tokens, packed as in training: every document is its tokens with the begin-of-text token
before and the end-of-text token after. Every token of the stream is predicted from those before it and charged
-log2 p, the end-of-text tokens and the later begin-of-text tokens included; only the stream's first token, which begins
any text, is free. The sum over UTF-8 bytes of text is the size of a code that a decoder with the same model could undo,
so it may stand beside gzip and xz.

A model sees at most `window` tokens. Windows advance by `stride`: of each window only the tokens that no earlier one
has charged are charged, so that beyond the first window every token has at least window - stride tokens of context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from centime.errors import UserError
from centime.input_files import read_input
from centime.model import Transformer

if TYPE_CHECKING:
    from centime.data.tokenizers import Tokenizer

Ids = npt.NDArray[np.int64]
_LOGITS_BYTES = 256 << 20  # memory that the logits of one forward pass may take


@dataclass(frozen=True)
class Text:
    """What is evaluated: `documents` of token ids, and the UTF-8 bytes of text they stand for."""

    documents: Sequence[Ids]
    bytes: int

    @property
    def tokens(self) -> int:
        return sum(map(len, self.documents))


@dataclass(frozen=True)
class BitsPerByte:
    """The outcome. `bits` is the whole code length; `tokens` were charged, each in a context of at most `window`."""

    bits: float
    bytes: int
    tokens: int
    documents: int
    window: int
    stride: int
    computed_tokens: int  # run through the model, those of overlapping windows again

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.bytes

    @property
    def nats_per_token(self) -> float:
        """The mean loss as training reports it."""
        return self.bits * math.log(2) / max(self.tokens, 1)


def read_files(paths: Sequence[Path], tokenizer: Tokenizer) -> tuple[Text, list[bytes]]:
    """Each file as one document, and its bytes. Raises UserError on a file that is missing or not UTF-8, or no text."""
    contents = []
    for path in paths:
        content = read_input(path, "a text file, or alone the folder of a prepared split")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not UTF-8 (at byte {error.start}); bits per byte are for text: convert it or leave it out."
            ) from error
        contents.append(content)
    if not any(contents):
        raise UserError("the files hold no byte; give at least one that is not empty.")
    bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    rows = tokenizer.encode_documents([content.decode("utf-8") for content in contents])
    documents = [np.array([*bos, *row, tokenizer.eos_id], dtype=np.int64) for row in rows]
    return Text(documents, sum(map(len, contents))), contents


def read_split(folder: Path, tokenizer: Tokenizer) -> tuple[Text, list[bytes]]:
    """A split that `centime data prepare` wrote, and the bytes of its documents.

    A folder with train/ and holdout/ means its holdout. Raises UserError when another tokenizer made it, when it holds
    no text, or when its documents are not text in order (fill-in-the-middle), whose bytes nobody could compare.
    """
    from centime.data.shards import ShardSet, require_tokenizer

    shards = ShardSet(folder / "holdout" if (folder / "holdout").is_dir() else folder)
    require_tokenizer(shards.folder, shards.index.tokenizer_sha256, tokenizer.folder, tokenizer.sha256)
    if not shards.index.bytes:
        raise UserError(f"{shards.folder} holds no text; prepare it from more text, or hold out a larger share.")
    documents = [shards.document(i) for i in range(shards.index.documents)]
    edges = {tokenizer.bos_id, tokenizer.eos_id}
    contents = [tokenizer.decode(t for t in ids.tolist() if t not in edges).encode() for ids in documents]
    if sum(map(len, contents)) != shards.index.bytes:
        raise UserError(
            f"{shards.folder} decodes to {sum(map(len, contents)):,} bytes and its text had {shards.index.bytes:,}: it "
            "was prepared with fill-in-the-middle; evaluate on its holdout, on text files, or prepare it with --fim 0."
        )
    return Text(documents, shards.index.bytes), contents


@torch.inference_mode()
def bits_per_byte(
    model: Transformer,
    text: Text,
    *,
    window: int | None = None,
    stride: int | None = None,
    progress: Callable[[int, int], None] = lambda charged, total: None,
) -> BitsPerByte:
    """Charges `text` to `model` in windows of `window` tokens that advance by `stride`.

    window: None is all of the model's positions, 4,096 at most; stride: None is half a window.
    progress: told the tokens charged so far, and all of them.
    Raises UserError on a window that the model has not, a stride outside 1 to window, or tokens it does not know.
    """
    positions = model.config.max_position_embeddings
    window = min(positions, 4096) if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if not 1 <= window <= positions:
        raise UserError(f"the window is {window} tokens, the model has {positions} positions; give 1 to {positions}.")
    if not 1 <= stride <= window:
        raise UserError(f"the stride is {stride} tokens; give 1 to the window, {window}, so that no token is left out.")
    stream = np.concatenate(list(text.documents))
    if int(stream.max()) >= model.config.vocab_size:
        raise UserError(
            f"the text has token {int(stream.max())}, the model knows {model.config.vocab_size:,}: "
            "the tokenizer in the folder is not this model's."
        )
    was_training = model.training
    model.eval()
    nats, charged, computed = 0.0, 0, 0
    most = max(1, _LOGITS_BYTES // (4 * window * model.config.vocab_size))
    for rows, first in _batches(stream, window, stride, most):
        nats += _charged(model, rows, first)
        charged += rows.shape[0] * (rows.shape[1] - 1 - first)
        computed += rows.shape[0] * (rows.shape[1] - 1)
        progress(charged, len(stream) - 1)
    model.train(was_training)
    if not math.isfinite(nats):
        raise UserError("the model's loss is not finite: its weights are damaged or overflow; try --dtype float32.")
    return BitsPerByte(nats / math.log(2), text.bytes, len(stream) - 1, len(text.documents), window, stride, computed)


def _batches(stream: Ids, window: int, stride: int, most: int) -> Iterator[tuple[Ids, int]]:
    """(rows [B, width + 1], first charged position): inputs rows[:, :-1], targets rows[:, 1:] from that position on.

    The whole windows after the first run `most` together; the first charges all its targets, the last what is left.
    """
    targets = len(stream) - 1
    if targets < 1:
        return
    width = min(window, targets)
    yield stream[None, : width + 1], 0
    done = width
    while targets - done >= stride:
        count = min(most, (targets - done) // stride)
        ends = done + stride * np.arange(1, count + 1)
        yield np.stack([stream[end - width : end + 1] for end in ends]), width - stride
        done += count * stride
    if done < targets:
        yield stream[None, targets - width : targets + 1], width - (targets - done)


def _charged(model: Transformer, rows: Ids, first: int) -> float:
    """The negative log-likelihood in nats of rows[:, first + 1 :], summed in fp64."""
    ids = torch.from_numpy(rows).to(model.head_weight.device)
    logits = model(ids[:, :-1])[:, first:].float()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, first + 1 :].flatten(), reduction="none")
    return float(loss.double().sum())
