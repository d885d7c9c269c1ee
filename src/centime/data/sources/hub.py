"""Datasets of the Hugging Face Hub, read where they lie: huggingface_hub fetches byte ranges, pyarrow decodes them.

$HF_ENDPOINT names another server that speaks the Hub's API, $HF_TOKEN opens private and gated datasets.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from centime.data.sources.source_file import HUB, SourceFile, kind_of
from centime.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

_SPEC = re.compile(r"([\w][\w.-]*/[\w][\w.-]*)(?:@([^/]+))?(?:/(.+))?")
_DATA = (".parquet", ".jsonl", ".ndjson", ".json", ".txt")
"""Endings of files that hold documents, the best first: a dataset often has the same rows in several forms."""
_COMPRESSED = ("", ".gz", ".zst", ".bz2", ".xz")
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json")
"""Files that say what a dataset is and hold none of it."""
_BLOCK = 8 << 20
"""Bytes per range request."""


def dataset_files(spec: str) -> tuple[list[SourceFile], str]:
    """(files, note): a dataset's data files at one commit, sorted, and a sentence that says what was chosen.

    spec: 'owner/name' or 'hf://datasets/owner/name[@revision][/glob]'. Without a glob: the files of the best form
    there (parquet, JSON lines, JSON, text), and of those the ones of the training split where names tell.
    Raises UserError when the dataset or the revision does not exist, is closed, or the Hub cannot be reached.
    """
    match = _SPEC.fullmatch(spec.removeprefix(HUB))
    if not match:
        raise UserError(f"{spec} is not a Hub dataset; expected {HUB}owner/name[@revision][/glob of its files].")
    name, revision, pattern = match[1], match[2], match[3]
    commit, sizes, system = _listing(name, revision, spec)
    if pattern:
        chosen = [path for path in sizes if fnmatch(path, pattern)]
    else:
        chosen = _training_files(list(sizes))
    if not chosen:
        listed = ", ".join(sorted(sizes)[:8]) or "none"
        wanted = f"file like {pattern!r}" if pattern else "parquet, .jsonl, .json or .txt file"
        raise UserError(
            f"The Hub dataset {name} has no {wanted}; its files are: {listed}. Name some with {HUB}{name}/GLOB."
        )
    files = []
    for path in sorted(chosen):
        kind, compression = kind_of(path)
        full = f"{HUB}{name}@{commit}/{path}"
        files.append(SourceFile(full, sizes[path], kind, compression, partial(_open, system, name, commit, path)))
    shown = sorted(chosen)[0] + (f" and {len(chosen) - 1} more" if len(chosen) > 1 else "")
    return files, f"{name} at {commit[:12]}: {len(chosen)} of {len(sizes)} files ({shown})"


def _training_files(paths: list[str]) -> list[str]:
    paths = [path for path in paths if path.rpartition("/")[2].lower() not in _ABOUT]
    for ending in (kind + compression for kind in _DATA for compression in _COMPRESSED):
        found = [path for path in paths if path.lower().endswith(ending)]
        if found:
            return [path for path in found if re.search(r"(?<![a-z])train(?![a-z])", path.lower())] or found
    return []


def _listing(name: str, revision: str | None, spec: str) -> tuple[str, dict[str, int], HfFileSystem]:
    """(commit, {path: bytes}, file system) of a dataset."""
    from huggingface_hub import HfApi, HfFileSystem
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = HfApi(endpoint=endpoint)
    try:
        commit = api.dataset_info(name, revision=revision).sha
        tree = api.list_repo_tree(name, repo_type="dataset", revision=commit, recursive=True)
        sizes = {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}
    except GatedRepoError as error:
        raise UserError(
            f"The Hub dataset {name} is gated; expected a token with access. Accept its terms there, then set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"The Hub dataset {name} has no revision {revision!r}. Check it, or leave it out.") from error
    except (RepositoryNotFoundError, HfHubHTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
            raise UserError(
                f"{spec} is neither a file or folder here nor a dataset that the Hub shows you. Check the spelling; "
                "for a private dataset set HF_TOKEN."
            ) from error
        raise _unreachable(name, api.endpoint, error) from error
    except Exception as error:  # offline mode, name resolution, refused connections: each client version has its own
        raise _unreachable(name, api.endpoint, error) from error
    if commit is None:
        raise _unreachable(name, api.endpoint, ValueError("it names no commit"))
    return commit, sizes, HfFileSystem(endpoint=endpoint)


class _Remote(io.RawIOBase):
    """A file of the Hub, read by ranges; whatever the client raises becomes a sentence."""

    def __init__(self, system: HfFileSystem, name: str, commit: str, path: str) -> None:
        super().__init__()
        self._name, self._path, self._endpoint = name, path, system.endpoint
        self._file: Any = None
        self._file = self._tried(system.open, f"datasets/{name}@{commit}/{path}", "rb", block_size=_BLOCK)

    def _tried(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:  # each version of the client has its own exceptions
            raise _unreachable(f"{self._path} of {self._name}", self._endpoint, error) from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raw: bytes = self._tried(self._file.read, size)
        return raw

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _open(system: HfFileSystem, name: str, commit: str, path: str) -> BinaryIO:
    return cast(BinaryIO, _Remote(system, name, commit, path))


def _unreachable(what: str, endpoint: str, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".: ")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status and str(status) not in reason:
        reason += f", HTTP status {status}"
    return UserError(
        f"The Hub at {endpoint} did not give {what} ({reason}). If that is a path here, check its spelling; else check "
        "the network, set HF_ENDPOINT to a mirror, or download the files and give their folder."
    )
