"""From what a person names (folders, files, globs, Hub datasets) to the list of files to read, in a fixed order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, cast

from centime.data.readers import Kind, SourceFile
from centime.errors import UserError

HUB = "hf://datasets/"
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_KINDS: dict[str, Kind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}
_SNIFF = 8192
"""Bytes in which a NUL tells a binary file from text, as git and grep do."""


def kind_of(name: str) -> tuple[Kind, Literal["gzip", "zstd"] | None]:
    """(kind, compression) by a file's name: '.jsonl.gz' -> ('jsonl', 'gzip'); unknown endings are text."""
    stem, ending = os.path.splitext(name.lower())
    compression = _COMPRESSIONS.get(ending)
    if compression:
        ending = os.path.splitext(stem)[1]
    return _KINDS.get(ending, "text"), compression


def local_file(path: Path) -> SourceFile:
    """A file of this machine. Raises UserError when it is not there."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}). Check the path.") from error
    kind, compression = kind_of(path.name)
    return SourceFile(str(path), size, kind, compression, partial(_open, path))


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, path.open("rb"))


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(_SNIFF)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, sorted, hidden ones and byte-compiled Python left out."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(root) / name


def expand(specs: Sequence[str], exclude: Sequence[str] = ()) -> tuple[list[SourceFile], list[str]]:
    """(files, notes): what the specs name, each file once, in the order of the specs and sorted within each.

    A spec is a file, a folder (searched whole), a glob ('src/**/*.py'), or a dataset of the Hugging Face Hub: an id
    'owner/name', or 'hf://datasets/owner/name[@revision][/glob of files]'. Files met in a folder or a glob that are
    binary are left out, and the notes say how many. `exclude` are globs held against whole paths and names.
    Raises UserError on a spec that names nothing.
    """
    files: dict[str, SourceFile] = {}
    notes: list[str] = []
    for spec in specs:
        path = Path(spec).expanduser()
        if spec.startswith(HUB) or (not path.exists() and _HUB_ID.fullmatch(spec) and not glob.has_magic(spec)):
            from centime.data.hub import dataset_files

            found, note = dataset_files(spec)
            notes.append(note)
            found = [file for file in found if not _excluded(file.name, exclude)]
        else:
            paths = [p for p in _local(spec, path) if not _excluded(str(p), exclude)]
            named = path.is_file()
            text = [p for p in paths if kind_of(p.name) == ("text", None)]
            binary = set() if named else {p for p in text if _is_binary(p)}
            if named and text and _is_binary(path):
                raise UserError(
                    f"{path} looks binary (it holds NUL bytes); expected UTF-8 text, .jsonl, .jsonl.gz, .jsonl.zst or "
                    ".parquet. Convert it."
                )
            if binary:
                notes.append(f"{spec}: {len(binary):,} binary files left out")
            found = [local_file(p) for p in paths if p not in binary]
        if not found:
            raise UserError(
                f"{spec} names no file to read; expected text, .jsonl(.gz, .zst) or .parquet files. "
                "Check the path" + (" and --exclude." if exclude else ".")
            )
        for file in found:
            files.setdefault(file.name, file)
    if not files:
        raise UserError("No sources: name files, folders, globs or a Hub dataset id such as owner/name.")
    return list(files.values()), notes


def _local(spec: str, path: Path) -> list[Path]:
    if path.is_dir():
        return list(_walk(path))
    if path.exists():
        return [path]
    if glob.has_magic(spec):
        return [p for p in map(Path, sorted(glob.glob(str(path), recursive=True))) if p.is_file()]
    raise UserError(
        f"{spec} does not exist; expected a file, a folder, a glob (quote it: '*.txt') or a Hub dataset id such as "
        "owner/name. Check the spelling."
    )


def _excluded(name: str, exclude: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(os.path.basename(name), pattern) for pattern in exclude)
