"""Packed weights kept in the user's cache, so that the next start of a server reads them where the first made them.

A file is known by the mark of the model's own files (`model.digest.files_mark`), is written whole or not at all, and is
made again where it is damaged. It is not synced: what a crash of the machine leaves of it shows by its sums.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from centime.files.leftovers import unfinished_file
from centime.units import format_bytes

if TYPE_CHECKING:
    from centime.model import Transformer

SWITCH = "CENTIME_WEIGHT_CACHE"  # 0 in the environment: nothing is kept, and nothing that was is read
LEAST = 64 << 20  # bytes of weights: fewer are packed in no time
ENDING = ".packed"


class WeightCache:
    """The place of one model's weights, in one type, in the cache; there is none where `mark` is None.

    source: the model's folder. mark: of its files.
    """

    def __init__(self, source: Path, mark: str | None, dtype: str | None) -> None:
        from centime.model.packed.stored import LAYOUT
        from centime.native.library import library
        from centime.version import version

        self._source, self._path = source.resolve(), None
        if mark is None or os.environ.get(SWITCH) == "0" or library() is None:
            return
        key = hashlib.blake2b(repr((mark, dtype, LAYOUT, version())).encode(), digest_size=16).hexdigest()
        with contextlib.suppress(RuntimeError):  # no home to keep anything in
            self._path = _folder() / f"{key}{ENDING}"

    def load(self) -> Transformer | None:
        """The model, if its weights are kept. What is damaged goes, with a line that says so."""
        from centime.model.packed.stored import Damaged, load_packed

        if self._path is None:
            return None
        try:
            model = load_packed(self._path)
            os.utime(self._path)
        except FileNotFoundError:
            return None
        except (OSError, Damaged) as error:
            print(f"centime: {self._path} is of no use ({error}); it is made again.", file=sys.stderr)
            with contextlib.suppress(OSError):
                self._path.unlink()
            return None
        return model

    def keep(self, model: Transformer) -> None:
        """Keeps the weights where they are worth it and there is room, and says where; older ones of the model go."""
        from centime.model.packed.stored import save_packed

        size = sum(weight.nbytes for weight in model.parameters())
        if self._path is None or size < LEAST:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_others()
            free = shutil.disk_usage(self._path.parent).free
            if free < 2 * size:
                print(
                    f"centime: {self._path.parent} has {format_bytes(free)} free: the weights are not kept as they are "
                    "served, and the next start makes them again.",
                    file=sys.stderr,
                )
                return
            with unfinished_file(self._path) as temporary:
                if not save_packed(model, temporary, str(self._source)):
                    return
                os.replace(temporary, self._path)
        except OSError as error:
            print(f"centime: the weights are not kept as they are served ({error}).", file=sys.stderr)
            return
        print(
            f"centime: the weights are kept as they are served in {self._path} ({format_bytes(size)}): the next start "
            f"reads them there. {SWITCH}=0 keeps none.",
            file=sys.stderr,
        )

    def _remove_others(self) -> None:
        """Earlier weights of this model, and those of models that are no longer there."""
        from centime.model.packed.stored import source_of

        assert self._path is not None
        for file in self._path.parent.glob(f"*{ENDING}"):
            source = source_of(file)
            if file != self._path and (source is None or Path(source) == self._source or not Path(source).exists()):
                file.unlink(missing_ok=True)


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "centime" / "weights"
