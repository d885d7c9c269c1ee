"""A folder that appears whole or not at all: written under another name beside it, synced to disk, then renamed.

It takes the place of nothing but an empty folder, or one that centime wrote, all of it, and that no input lies in.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import filecmp
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from centime.errors import UserError
from centime.files.durable import FULL, made_folders, sync
from centime.files.leftovers import beside, remove, unfinished_folder
from centime.files.lock import lock_beside
from centime.files.marks import Kind, files_in, foreign, kept, write_mark, written_in
from centime.files.places import held_input
from centime.units import format_bytes


@contextlib.contextmanager
def whole_folder(
    out: Path, kind: Kind, *, inputs: Iterable[Path] = (), overwrite: bool = False, place: str = "--out"
) -> Iterator[Path]:
    """Yield a temporary folder beside `out` to write into; on success it becomes `out`, on any failure it is removed.

    Nobody else writes `out` meanwhile, and what a killed process left of it goes. inputs: what the command reads, none
    of which may lie in a folder that is replaced. place: what a person knows `out` as, after "another" and "an".

    Raises UserError when `out` is being written, is not empty (unless `overwrite`, and then when centime did not write
    all of it), holds an input, or the disk is full or not writable.
    """
    target = _Target(out, Path(os.path.realpath(out)), kind, list(inputs), overwrite, place)
    final = target.final
    with contextlib.ExitStack() as stack:
        temporary = None
        try:
            stack.enter_context(made_folders(final.parent))
            stack.enter_context(lock_beside(final, f"wait until it is done, or choose another {place}", out))
            recover(final, kind)
            target.require_replaceable()
            temporary = stack.enter_context(unfinished_folder(final))
            yield temporary
            target.require_replaceable()  # much may have happened meanwhile
            carried = target.carry_over(temporary)
            sync_all(temporary)
            put_in_place(temporary, final, lambda old: target.may_go(old, carried))
        except OSError as error:
            raise target.sentence(temporary, error) from error


def require_replaceable(out: Path, kind: Kind, *, place: str = "--out") -> None:
    """Raises UserError unless `out` may be replaced by such a folder: for before long work, without its inputs."""
    _Target(out, Path(os.path.realpath(out)), kind, [], True, place).require_replaceable()


@dataclass(frozen=True)
class _Target:
    """The folder that is made: `out` as the person called it, `final` where that leads."""

    out: Path
    final: Path
    kind: Kind
    inputs: list[Path]
    overwrite: bool
    place: str

    def require_replaceable(self) -> None:
        """Raises UserError unless a new folder may take the place of what is there."""
        out, final, another = self.out, self.final, f"Choose another {self.place}"
        if os.path.lexists(final) and not final.is_dir():
            raise UserError(f"{out} is a file; expected the name of a folder to make. {another}.")
        if not final.is_dir() or not any(final.iterdir()):
            return
        there = f"{out} already exists and is not empty"
        ours = written_in(final, self.kind)
        if ours is None:
            raise UserError(
                f"{there}. It is not {self.kind.name} that centime wrote, and nothing else is replaced. {another}."
            )
        if (stranger := foreign(final, ours, self.kind)) is not None:
            raise UserError(
                f"{there}. It holds {stranger}, which centime did not write, and which would be lost. {another}, or "
                "move that elsewhere."
            )
        if not self.overwrite:
            raise UserError(f"{there}. {another}, or add --overwrite.")
        if (read := held_input(final, self.inputs)) is not None:
            raise UserError(f"{out} holds {read}, which this command reads and would replace. {another}.")

    def carry_over(self, temporary: Path) -> set[str]:
        """Copies into the new folder what the old one has that is kept, marks it, and returns the names of the copies.

        Raises UserError where the new folder has another file of that name, and centime did not write the old one.
        """
        new, names, ours = set(files_in(temporary)), [], set[str]()
        if self.final.is_dir():
            names, ours = kept(self.final, self.kind), written_in(self.final, self.kind) or ours
        for name in names:
            old = self.final / name
            if name not in new:
                shutil.copy2(old, temporary / name)
            elif name not in ours and not filecmp.cmp(old, temporary / name, shallow=False):
                raise UserError(
                    f"{self.out} holds {name}, which centime did not write, and which would be replaced. "
                    f"Choose another {self.place}, or move that elsewhere."
                )
        write_mark(temporary, self.kind, new | ours.intersection(names))
        return set(names)

    def may_go(self, old: Path, carried: set[str]) -> bool:
        """Whether nothing in the old folder would be lost with it."""
        if not any(old.iterdir()):
            return True
        ours = written_in(old, self.kind)
        return ours is not None and foreign(old, ours | carried, replace(self.kind, keeps=lambda _: False)) is None

    def sentence(self, temporary: Path | None, error: OSError) -> UserError:
        """What a person is told of a file system that will not have it."""
        parent = self.final.parent
        if error.errno in FULL:
            files = temporary.rglob("*") if temporary else ()
            written = sum(file.stat().st_size for file in files if file.is_file())
            return UserError(
                f"{parent} takes no more ({error.strerror}) after {format_bytes(written)}; nothing was kept. "
                f"Free some space, or choose an {self.place} on another disk."
            )
        if not parent.is_dir():
            return UserError(f"{parent} is no folder ({error.strerror}). Choose another {self.place}.")
        if error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(parent):
            return UserError(f"{parent} cannot be written ({error.strerror}). Choose another {self.place}.")
        return UserError(f"{self.out} was not made ({error}); nothing was kept.")


def put_in_place(temporary: Path, final: Path, may_go: Callable[[Path], bool]) -> None:
    """Renames a finished folder over `final`, and deletes the old one if it `may_go`; else raises FileExistsError.

    The two are exchanged in one step where the system can, and so back again.
    """
    parent = final.parent
    if not final.exists():
        os.rename(temporary, final)
        sync(parent)
        return
    if exchange(temporary, final):
        if not may_go(temporary):
            exchange(temporary, final)
            raise FileExistsError(errno.EEXIST, "somebody put a file into it meanwhile", str(final))
        sync(parent)
        _remove_old(temporary)
        return
    aside = _aside(final)
    os.rename(final, aside)
    if not may_go(aside):
        os.rename(aside, final)
        raise FileExistsError(errno.EEXIST, "somebody put a file into it meanwhile", str(final))
    try:
        os.rename(temporary, final)
    except OSError:
        os.rename(aside, final)
        raise
    sync(parent)
    _remove_old(aside)


def _remove_old(folder: Path) -> None:
    """What cannot be removed now has a name at which the next writer does it; the new folder is in its place."""
    with contextlib.suppress(OSError):
        remove(folder)


def recover(final: Path, kind: Kind) -> None:
    """Undoes what a process killed between the two renames of `put_in_place` left: the old folder comes back."""
    aside = _aside(final)
    if not aside.is_dir() or aside.is_symlink() or written_in(aside, kind) is None:
        return
    if not final.exists():
        os.rename(aside, final)
    else:
        ours = written_in(aside, kind) or set()
        if foreign(aside, ours, kind) is None:  # the new one has what is kept
            remove(aside)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two folders in one atomic step (Linux's renameat2 with RENAME_EXCHANGE); False where there is none."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>
    return renameat2 is not None and renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) == 0


def sync_all(folder: Path) -> None:
    """Pushes a folder and all that is in it to the disk itself. Raises OSError."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _aside(final: Path) -> Path:
    return beside(final, "aside")
