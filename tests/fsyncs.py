"""What a writer pushed to the disk, and when it renamed: the order on which a power cut is survived."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


class Order:
    """Records fsyncs and renames, in order, while a test runs. Paths are those at the time of the call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, Path, int]] = []  # (synced or renamed, what, its bytes or entries then)
        real_sync = os.fsync

        def fsync(handle: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            self.events.append(("synced", path, len(os.listdir(path)) if path.is_dir() else path.stat().st_size))
            real_sync(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, self.renaming(getattr(os, name)))

    def renaming(self, call: Callable[..., object]) -> Callable[..., object]:
        """`call`, recorded as a rename of its first argument."""

        def renamed(source: Path, *rest: object, **named: object) -> object:
            self.events.append(("renamed", Path(source), 0))
            return call(source, *rest, **named)

        return renamed

    def require_durable(self, final: Path) -> None:
        """Asserts that all of `final` was synced as it is now, before the rename, and the rename after it."""
        at = next(i for i, (what, _, _) in enumerate(self.events) if what == "renamed")
        source = self.events[at][1]
        before = {path: size for what, path, size in self.events[:at] if what == "synced"}
        after = [path for what, path, _ in self.events[at + 1 :] if what == "synced"]
        if final.is_dir():
            assert before.get(source) == len(os.listdir(final)), f"{source} was not synced with all its names"
            for file in final.iterdir():
                assert before.get(source / file.name) == file.stat().st_size, f"{file.name} was not synced whole"
            assert final.parent in after, "the rename was not synced"
        else:
            assert before.get(source) == final.stat().st_size
