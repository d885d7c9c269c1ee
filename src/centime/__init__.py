"""centime: train, serve and price DeepSeek-class language models, with the bill in view at every step.

`centime.load` and `centime.save` move a model between memory and a Hugging Face folder. They import torch on first
use, so that the verbs that need no torch (`plan`, `bill`) start at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centime.model.checkpoint import load, save

    __version__: str

__all__ = ["__version__", "load", "save"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in {"load", "save"}:
        try:
            from centime.model import checkpoint
        except ModuleNotFoundError as error:
            from centime.installation import needs

            raise ModuleNotFoundError(
                str(needs("torch", f"centime.{name}", str(error.name))), name=error.name
            ) from error
        return getattr(checkpoint, name)
    if name == "__version__":
        from centime.version import version

        return version()
    raise AttributeError(f"module 'centime' has no attribute {name!r}")
