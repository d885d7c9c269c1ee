"""A model of the Hugging Face Hub as a folder here, through huggingface_hub and its cache: its description first.

Honoured as there: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.
"""

from __future__ import annotations

import os
from pathlib import Path

from centime.errors import UserError

_DESCRIPTION = ["*.json", "*.jinja", "*.txt", "tokenizer.model"]
_WEIGHTS = ["*.safetensors"]


def description_of(name: str, revision: str | None) -> Path:
    """A folder with the model's configuration and tokenizer, without its weights. Raises UserError."""
    folder = _snapshot(name, revision, _DESCRIPTION)
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} has no config.json on the Hub, so it is no model that can be loaded; name another.")
    return folder


def weights_of(name: str, revision: str | None) -> Path:
    """The same folder with the weights. Raises UserError."""
    folder = _snapshot(name, revision, [*_DESCRIPTION, *_WEIGHTS])
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{name} has no .safetensors files on the Hub, which alone are read; name another.")
    return folder


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    server = endpoint or "https://huggingface.co"
    try:
        # one level deep: what lies in folders (original/, onnx/) is the model once more in another form
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"], endpoint=endpoint
            )
        )
    except GatedRepoError as error:
        raise UserError(f"{name} is gated at {server}: accept its terms there, then set HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{name} at {server} has no revision {revision!r}; check it, or leave it out.") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{name} is neither a folder here nor a model that {server} shows you. Check the spelling; for a private "
            "model set HF_TOKEN."
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise UserError(f"{name} cannot be kept here ({error.strerror}); set HF_HOME to another disk.") from error
        raise _unreachable(name, server, error) from error
    except Exception as error:  # offline mode, refused connections: each version of the client has its own
        raise _unreachable(name, server, error) from error


def _unreachable(name: str, server: str, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(
        f"{name} is no folder here, and {server} did not give it ({reason}). If it is a path, check its spelling; else "
        "check the network, set HF_ENDPOINT to a mirror, or download the model and give its folder."
    )
