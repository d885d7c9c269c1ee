"""Train a tokenizer on sources. The merging is done by another process, which can be ended at any moment.

The trainer is one long call in Rust: in our own process no signal would end it, and what it did (an allocation that
fails, a panic) would end us. `python -m centime.data.tokenizers.training SIZE` reads texts from its standard input,
eight bytes with a length before each, and writes tokenizer.json to its standard output. It ends when its input does.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import tokenizers

from centime.data.order import mix
from centime.data.sources import LeftOut, Sources, local_paths, read_documents
from centime.data.split import digest, is_held_out, require_share
from centime.data.tokenizers.bpe import TOKENIZER, require_vocabulary, train_tokenizer, write_files
from centime.data.tokenizers.tokenizer import seams
from centime.errors import UserError
from centime.files.folder import whole_folder

_HEAD = struct.Struct("<Q")
_NO_MORE = (1 << 64) - 1


class ShowsReading(Protocol):
    """What shows the work, such as `data.display.SourceBar`."""

    def show(self, read: int, total: int, text_bytes: int, tokens: int) -> None:
        """Source bytes read and in all, bytes of text and tokens so far."""

    def stage(self, title: str) -> None:
        """What begins now, and nobody knows for how long."""


@dataclass
class TrainedTokenizer:
    """What `train_on_sources` did."""

    vocab_size: int = 0
    documents: int = 0
    text_bytes: int = 0
    notes: list[str] = field(default_factory=list)


def train_on_sources(
    sources: Sources,
    vocab_size: int,
    out: Path,
    *,
    limit: int = 10**9,
    holdout: float = 0.0,
    overwrite: bool = False,
    bar: ShowsReading | None = None,
) -> TrainedTokenizer:
    """Train on the documents of `sources`, about `limit` bytes of them, and write the folder `out`.

    Documents that `prepare` holds out at this share are not read, so that a held-out text is new to the tokenizer
    too. Raises UserError on numbers out of range, and as
    `train_tokenizer` and the readers do; `out` then is as before.
    """
    require_vocabulary(vocab_size)
    require_share("holdout", holdout)
    if limit < 1:
        raise UserError(f"--limit {limit}: expected at least one byte of text, sensibly some hundred million.")
    options = sources.options
    files, notes = sources.files()
    done, left_out = TrainedTokenizer(notes=notes), LeftOut(options.skip_bad_lines)
    total = sum(file.size for file in files)
    # Compressed sources hold more text than their size says; for those the limit is met by stopping.
    share = min(1.0, limit / max(total, 1))

    def texts() -> Iterator[str]:
        yield from sampled()
        if bar is not None:
            bar.stage("Merging")

    def sampled() -> Iterator[str]:
        before = 0
        for file in files:
            for text, position in read_documents(file, options, left_out):
                if is_held_out(digest(text.encode()), holdout):
                    continue
                done.documents += 1
                for piece in seams(text):
                    raw = piece.encode()
                    if done.text_bytes and mix(digest(raw), 0x627065) >= share * 2.0**64:
                        continue
                    yield piece
                    done.text_bytes += len(raw)
                    if bar is not None:
                        bar.show(before + position, total, done.text_bytes, 0)
                    if done.text_bytes >= limit:
                        return
            before += file.size

    with whole_folder(out, TOKENIZER, inputs=local_paths(sources.specs, files), overwrite=overwrite) as folder:
        backend = train_apart(texts(), vocab_size)
        done.vocab_size = backend.get_vocab_size()
        done.notes += left_out.notes(options.field)
        write_files(backend, folder)
    return done


def train_apart(texts: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """As `train_tokenizer`, in another process, which is gone when this returns or raises, however it does."""
    require_vocabulary(vocab_size)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "centime.data.tokenizers.training", str(vocab_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # a terminal's Ctrl-C is ours to answer
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # the process has ended: its exit code says why
                if not _send(texts, process.stdin):
                    raise UserError(
                        "The sources hold no text to train a tokenizer on: the corpus is empty. Name other sources."
                    )
            made = process.stdout.read()
            if process.wait() != 0 or not made:
                said.seek(0)
                raise _ended(process.returncode, said.read().decode("utf-8", "replace"))
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
    return tokenizers.Tokenizer.from_str(made.decode())


def _send(texts: Iterable[str], pipe: IO[bytes]) -> int:
    """Texts that are not empty, written to the trainer; how many."""
    sent = 0
    for text in texts:
        if text:
            raw = text.encode()
            pipe.write(_HEAD.pack(len(raw)) + raw)
            sent += 1
    pipe.write(_HEAD.pack(_NO_MORE))
    pipe.flush()
    return sent


def _ended(code: int, said: str) -> UserError:
    if code < 0:
        return UserError(
            f"The process that merges was killed (signal {-code}), most often for want of memory; nothing was kept. "
            "Use a smaller --limit, or free some memory."
        )
    reason = (said.strip().splitlines() or ["it said nothing"])[-1]
    return UserError(f"The tokenizer could not be trained ({reason}); nothing was kept. Use a smaller --limit.")


def _received(pipe: IO[bytes]) -> Iterator[str]:
    while (length := _HEAD.unpack(pipe.read(_HEAD.size))[0]) != _NO_MORE:
        yield pipe.read(length).decode()


def _main() -> None:
    def texts() -> Iterator[str]:
        yield from _received(sys.stdin.buffer)
        threading.Thread(target=_follow, daemon=True).start()

    backend = train_tokenizer(texts(), int(sys.argv[1]))
    sys.stdout.buffer.write(backend.to_str().encode())
    sys.stdout.buffer.flush()
    os._exit(0)


def _follow() -> None:
    """Ends this process when the one that started it is gone, or has closed our input."""
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    _main()
