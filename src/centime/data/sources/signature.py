"""What the first bytes of a file say of it: another encoding than UTF-8, no text at all, or which shape of JSON."""

from __future__ import annotations

import codecs
import json
from typing import Literal

from centime.data.sources.source_file import Compression
from centime.errors import UserError

SNIFF = 8192
"""Bytes in which a NUL tells a binary file from text, as git and grep do."""

BOM = codecs.BOM_UTF8

COMPRESSED: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",  # RFC 1952
    b"\x28\xb5\x2f\xfd": "zstd",  # RFC 8878
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
}
_OTHERS = {b"PK\x03\x04": "a zip archive", b"PAR1": "Parquet", b"%PDF-": "a PDF", b"ARROW1": "Arrow"}
_LFS = b"version https://git-lfs.github.com/spec/"

Foreign = Literal["binary", "UTF-16", "UTF-32", "Git LFS pointer"]


def compression_of(head: bytes) -> Compression | None:
    """The compression that a beginning announces, or None."""
    return next((found for mark, found in COMPRESSED.items() if head.startswith(mark)), None)


def foreign(head: bytes) -> Foreign | None:
    """What a file of this beginning is, where it is no UTF-8 text; None where it may be."""
    head = head[:SNIFF]
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    if head.startswith(_LFS):
        return "Git LFS pointer"
    if compression_of(head) or any(map(head.startswith, _OTHERS)):
        return "binary"
    if b"\0" not in head:
        return None
    return "UTF-16" if _is_utf16(head) else "binary"


def _is_utf16(head: bytes) -> bool:
    """Whether it reads as Western text in UTF-16 without a mark: a zero in nearly every other byte."""
    head = head[: len(head) // 2 * 2]
    big, little = head[0::2].count(0), head[1::2].count(0)
    if not head or max(big, little) * 3 < len(head):
        return False
    signs = head.decode("utf-16-be" if big > little else "utf-16-le", "ignore")
    return sum(sign.isprintable() or sign in "\t\r\n" for sign in signs) > 0.95 * len(head) / 2


def refuse_foreign(name: str, head: bytes) -> None:
    """Raise UserError, saying what to do, when a file of this beginning is no UTF-8 text."""
    found = foreign(head)
    if found is None:
        return
    if found == "binary":
        other = next((what for mark, what in _OTHERS.items() if head.startswith(mark)), None)
        what = other or (f"{compressed}-compressed" if (compressed := compression_of(head)) else "it holds NUL bytes")
        raise UserError(
            f"{name} looks binary ({what}); expected UTF-8 text, .jsonl or .json (each also .gz, .zst, .bz2, .xz), or "
            ".parquet. Convert it, or give it the ending of what it is."
        )
    if found == "Git LFS pointer":
        raise UserError(f"{name} is a Git LFS pointer, not the file itself. Fetch that with `git lfs pull`.")
    raise UserError(f"{name} is {found} text; expected UTF-8. Convert it: `iconv -f {found} -t UTF-8 OLD > NEW`.")


def binary_at(name: str, offset: int) -> UserError:
    """What to say of a NUL byte further on in a file that began as text."""
    return UserError(
        f"{name} looks binary (a NUL byte at offset {offset:,}); expected UTF-8 text. Convert it, or leave it out with "
        "--exclude."
    )


LOOKED_AT = 16
"""Lines, one of which is a whole object where a file holds one a line (the first may be malformed)."""

Shape = Literal["lines", "values", "other"]


def json_shape(head: bytes) -> Shape:
    """How the JSON that begins so is written.

    'lines': a complete value on the first line (or a line too long to see its end). 'values': one array or object over
    several lines, or an array of objects on one. 'other': no JSON of objects.
    """
    head = head.removeprefix(BOM).lstrip()
    if head.startswith(b"["):
        return "values" if head[1:].lstrip()[:1] in (b"{", b"]", b"") else "other"
    if not head.startswith(b"{"):
        return "other"
    first, *more = head.split(b"\n", LOOKED_AT)
    if not more:
        return "lines"  # the whole of a small file, or the beginning of a very long line
    return "lines" if any(map(_is_object, [first, *more[: LOOKED_AT - 1]])) else "values"


def _is_object(line: bytes) -> bool:
    try:
        return line.startswith(b"{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
