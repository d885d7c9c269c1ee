"""Documents out of plain text: a file is one, or those between separators; a very long one is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from centime.data.sources.left_out import LeftOut, ReadOptions, UndecodableDocument, text_of
from centime.data.sources.signature import binary_at
from centime.data.sources.source_file import LONGEST, Block

PATIENCE = 4
"""A text without line ends is cut at a blank, or anywhere, once it is this fraction of LONGEST longer than LONGEST."""


def text_documents(
    name: str, blocks: Iterable[Block], options: ReadOptions, left_out: LeftOut, *, binary_is_error: bool
) -> Iterator[tuple[str, int]]:
    """(text, position) of each document of a text file; NUL bytes make one binary, an error or left out."""
    for raw, start, position, begins, ends in _cut(blocks, (options.separator or "").encode()):
        if b"\0" in raw:
            if binary_is_error:
                raise binary_at(name, start + raw.index(b"\0"))
            left_out.document("binary")
            continue
        try:
            text = text_of(raw, name, options, start)
        except UndecodableDocument:
            left_out.document("not UTF-8")
            continue
        if options.separator:  # the line ends around it are the separator's
            text = text.lstrip("\r\n") if begins else text
            text = text.rstrip("\r\n") if ends else text
        yield text, position


Piece = tuple[bytes, int, int, bool, bool]
"""Bytes, their offset in the text, the position in the file, whether a document begins and whether it ends there."""


def _cut(blocks: Iterable[Block], mark: bytes) -> Iterator[Piece]:
    """The stretches between `mark` (all of it without one), cut again where they are longer than LONGEST.

    Looks at every byte a bounded number of times, and holds a little more than LONGEST at most.
    """
    parts: list[bytes] = []  # of the document begun, searched
    held = start = position = 0
    carry = b""  # the last bytes, where a mark may have begun
    begins = True
    for block, position in blocks:
        *whole, rest = (carry + block).split(mark) if mark else [carry + block]
        for raw in whole:
            parts.append(raw)
            document = b"".join(parts)
            yield document, start, position, begins, True
            start += len(document) + len(mark)
            parts, held, begins = [], 0, True
        keep = min(len(rest), max(0, len(mark) - 1))
        searched, carry = rest[: len(rest) - keep], rest[len(rest) - keep :]
        parts.append(searched)
        held += len(searched)
        if held >= LONGEST and (at := _place_to_cut(searched, held)):
            parts[-1] = searched[:at]
            document = b"".join(parts)
            yield document, start, position, begins, False
            start += len(document)
            parts, held, begins = [searched[at:]], len(searched) - at, False
    document = b"".join([*parts, carry])
    if document:
        yield document, start, position, begins, True


def _place_to_cut(block: bytes, held: int) -> int:
    """Where to cut within the last block: after a line, else (later) after a blank, else between two characters."""
    at = block.rfind(b"\n") + 1
    if at or held < LONGEST + LONGEST // PATIENCE:
        return at
    at = block.rfind(b" ") + 1
    if at:
        return at
    at = len(block)
    while at > 1 and block[at - 1] & 0xC0 == 0x80:  # within a character of several bytes
        at -= 1
    return at - 1
