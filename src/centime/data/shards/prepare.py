"""Sources in, a folder of token shards out: read here, tokenised in other processes, written here in reading order."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from centime.data.shards.documents import Fim
from centime.data.shards.shard_set import INDEX, Index
from centime.data.shards.workers import TextBatch, tokenised
from centime.data.shards.writer import SHARD_TOKENS, ShardWriter
from centime.data.sources import LeftOut, ReadOptions, SourceFile, Sources, local_paths, read_documents, tally
from centime.data.split import require_share
from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.files.folder import whole_folder
from centime.files.marks import Kind
from centime.version import version

BATCH_CHARACTERS = 1 << 20
"""Text sent to a worker at a time: large beside the cost of sending it, small beside the memory of a machine."""
MOST_WORKERS = 1024  # processes: above any machine's cores
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


@dataclass(frozen=True)
class Preparation:
    """How documents become shards. The files written depend on the sources and on this, not on `workers`."""

    fim: float = 0.0
    """Share of the documents, 0 to 1, that are written as fill-in-the-middle."""
    holdout: float = 0.0
    """Share of the documents, 0 to 1, that are held out, by their content."""
    seed: int = 0
    """Of the fill-in-the-middle cuts."""
    workers: int = 1
    """Processes; above 1 they are spawned: call `prepare` under `if __name__ == "__main__"`."""
    shard_tokens: int = SHARD_TOKENS


@dataclass
class Progress:
    """What `prepare` tells while it works; also its result."""

    source_bytes: int = 0
    """Bytes of the sources as stored, read so far, of `source_total`."""
    source_total: int = 0
    text_bytes: int = 0
    tokens: int = 0
    documents: int = 0
    held_out_tokens: int = 0
    held_out_documents: int = 0
    fim_documents: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Documents left out, by reason."""
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values, under these names."""
        return asdict(self) | {"skipped": dict(self.skipped)}


def read_batches(files: Sequence[SourceFile], options: ReadOptions, left_out: LeftOut) -> Iterator[TextBatch]:
    """Documents of all files in order, in batches; empty documents are left out."""
    batch, before = TextBatch(), 0
    for file in files:
        for text, position in read_documents(file, options, left_out):
            if not text:
                left_out.document("empty")
                continue
            batch.texts.append(text)
            batch.characters += len(text)
            if batch.characters >= BATCH_CHARACTERS:
                batch.source_bytes = before + position
                yield batch
                batch = TextBatch()
        before += file.size
    if batch.texts:
        batch.source_bytes = before
        yield batch


def prepare(
    sources: Sources,
    tokenizer_folder: str | Path,
    out: str | Path,
    how: Preparation = Preparation(),
    *,
    overwrite: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Tokenise `sources` into `out`/train and `out`/holdout, with a copy of the tokenizer in `out`/tokenizer.

    Raises UserError for sources, a tokenizer or options that cannot do, and on a full disk; `out` then is as before.
    """
    for name, share in (("fim", how.fim), ("holdout", how.holdout)):
        require_share(name, share)
    if not 1 <= how.workers <= MOST_WORKERS:
        raise UserError(f"--workers {how.workers}: expected 1 to {MOST_WORKERS:,}.")
    options = sources.options
    tokenizer = load_tokenizer(tokenizer_folder)
    middle = Fim.of(tokenizer, how.fim, how.seed)
    done = Progress()
    files, done.notes = sources.files()
    done.source_total = sum(file.size for file in files)
    made = {
        "centime": version(),
        "sources": list(sources.specs),
        "files": len(files),
        "seed": how.seed,
        "fim": how.fim,
        "holdout": how.holdout,
        "field": options.field,
        "separator": options.separator,
        "undecodable": options.undecodable,
        "skip_bad_lines": options.skip_bad_lines,
    }
    left_out = LeftOut(options.skip_bad_lines)
    done.skipped = left_out.reasons
    out = Path(out)
    inputs = [*local_paths(sources.specs, files), tokenizer.folder]
    with whole_folder(out, PREPARED, inputs=inputs, overwrite=overwrite) as folder:
        with contextlib.ExitStack() as stack:
            train, held = (
                stack.enter_context(
                    ShardWriter(folder / split, split, tokenizer.vocab_size, tokenizer.sha256, how.shard_tokens)
                )
                for split in ("train", "holdout")
            )
            batches = read_batches(files, options, left_out)
            for encoded, source_bytes in tokenised(batches, tokenizer, how.holdout, middle, how.workers, stack):
                for writer, part in zip((train, held), encoded, strict=True):
                    writer.append(part.tokens, part.lengths, part.text_bytes)
                done.source_bytes = source_bytes
                done.fim_documents += encoded[0].fim
                _count(done, train.index, held.index)
                progress(done)
            if train.index.tokens == 0:
                why = tally(done.skipped)
                held_note = f"; all {held.index.documents:,} documents were held out" if held.index.documents else ""
                raise UserError(
                    f"The corpus is empty: {' '.join(sources.specs)} gave no text to train on"
                    + (f" ({why})" if why else "")
                    + held_note
                    + ". Name sources that hold text, or lower --holdout."
                )
            done.notes += left_out.notes(options.field)
            made |= {"notes": done.notes, "left_out": dict(left_out.reasons)}
            for writer in (train, held):
                writer.finish({**made, "fim_documents": done.fim_documents if writer is train else 0})
        if held.index.documents == 0:
            shutil.rmtree(folder / "holdout")
        _copy_tokenizer(tokenizer.folder, folder / "tokenizer")
    done.source_bytes = done.source_total
    progress(done)
    return done


def _count(done: Progress, train: Index, held: Index) -> None:
    done.tokens, done.documents = train.tokens, train.documents
    done.held_out_tokens, done.held_out_documents = held.tokens, held.documents
    done.text_bytes = train.bytes + held.bytes


def _copy_tokenizer(source: Path, target: Path) -> None:
    target.mkdir()
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _earlier(folder: Path) -> set[str]:
    """The files of a folder that was prepared without a mark: what the indices list, which say that they are ours."""
    ours = {f"tokenizer/{name}" for name in _TOKENIZER}
    for split in ("train", "holdout"):
        path = folder / split / INDEX
        if split == "train" or path.exists():
            index = Index.model_validate_json(path.read_bytes())
            files = {name for shard in index.shards for name in (shard.tokens_file, shard.documents_file)}
            ours |= {f"{split}/{name}" for name in (INDEX, *files)}
    return ours


PREPARED = Kind("a folder of prepared data", _earlier)
