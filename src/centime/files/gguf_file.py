"""A GGUF file opened by the gguf package, which checks little: what it says of itself, and its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from centime.errors import UserError
from centime.installation import needs


def read_gguf(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """Fields by name, and tensors that are read when they are looked at.

    Raises UserError where the package is absent, and for a file that cannot be read or is damaged.
    """
    try:
        import gguf
    except ImportError:
        raise needs("gguf", "reading a GGUF file", "the gguf package") from None
    try:
        reader = gguf.GGUFReader(path, "c")  # as if it could be written, which PyTorch asks for
        return {name: field.contents() for name, field in reader.fields.items()}, list(reader.tensors)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # the package raises whatever comes
        raise UserError(f"{path} is no whole GGUF file ({error}); copy it again.") from None
