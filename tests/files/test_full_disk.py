"""A disk that takes no more is a sentence, whoever writes, and nothing but what was there before is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.files.test_durable import gguf, model, tokenizer
from tests.small import small_folder

from centime.catalogue import machine
from centime.errors import UserError
from centime.plan.card import write_card
from centime.plan.show.page import write_page

LIMIT = 64  # bytes of a file that the "disk" takes: less than the shortest of these has


def page(folder: Path) -> Callable[[], object]:
    return lambda: write_page(folder / "out" / "page.html", "A plan", [], "en", {})


def card(folder: Path) -> Callable[[], object]:
    return lambda: write_card(folder / "out" / "card.json", {"card": 1, "text": "x" * 200})


def profile(folder: Path) -> Callable[[], object]:
    found = machine.MachineProfile.__dataclass_fields__
    made = machine.MachineProfile(**dict.fromkeys(found, "x" * 20))  # type: ignore[arg-type]
    return lambda: machine.write_profile(made, folder / "out" / "machine.json")


ALL = {writer.__name__: writer for writer in (model, gguf, tokenizer, page, card, profile)}


@pytest.mark.parametrize("writer", ALL)
def test_a_file_that_may_not_grow_is_a_sentence_and_leaves_nothing(tmp_path: Path, writer: str) -> None:
    """The system's own limit on the size of a file, in a process of its own: writes fail wherever they come."""
    (tmp_path / "out").mkdir()
    write = ALL[writer](tmp_path)
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        try:
            write()
        except UserError as error:
            os.write(its, str(error).encode())
            os._exit(2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    said = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(its)
    assert "File too large" in said
    assert "Free some space" in said
    assert list((tmp_path / "out").iterdir()) == []


MOUNT = 'mount -t tmpfs -o size=64k tmpfs "$0" || exit 77; "$@"; code=$?; ls -A "$0"; exit $code'


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount, in a new namespace")
def test_an_export_to_a_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    model, disk = small_folder(tmp_path / "model"), tmp_path / "disk"
    disk.mkdir()
    export = [sys.executable, "-m", "centime", "export", str(model), "--gguf", str(disk / "deep" / "m.gguf")]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNT, str(disk), *export], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert "m.gguf cannot be written (No space left on device); nothing of it was kept. Free some" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
