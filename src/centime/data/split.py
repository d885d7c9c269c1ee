"""Which split a document belongs to, by its content alone."""

from __future__ import annotations

from hashlib import blake2b

from centime.data.order import mix
from centime.errors import UserError


def digest(raw: bytes) -> int:
    """64 bits of a document's content."""
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")


def require_share(option: str, share: float) -> None:
    """Raise UserError unless `share`, what --`option` says, is a share of the documents: at least 0 and below 1."""
    if not 0 <= share < 1:  # not a number is neither
        raise UserError(f"--{option} {share} is not a share of the documents; expected at least 0 and below 1.")


def is_held_out(content: int, rate: float) -> bool:
    """Whether a document of this digest belongs to the held-out split.

    By content alone: the same text is always on the same side, whatever the seed, the order or the other documents, so
    that copies do not leak from one side to the other.
    """
    return mix(content, 0x686F6C64) < rate * 2.0**64
