"""A cache folder is its owner's and one server's alone, keeps to its room, and survives a full disk and its own end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.forked import centime
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.serve.kv_cache.disk import PROMPT, ROOT, answer, get, kept, put, tier
from tests.small import small_folder

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.kv_cache.block_pool import block_key
from centime.serve.kv_cache.cache_folder import CacheFolder


def test_only_the_owner_can_read_it_and_no_text_is_in_it(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        answer(model, tokenizer, tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    files = [*(tmp_path / "new").iterdir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    key, names = ROOT, {file.stem for file in files}
    for start in range(0, 20, 4):
        key = block_key(key, PROMPT[start : start + 4])
        assert key.hex() not in names  # nor can a guess at a prompt be tried on the names


def test_a_block_that_others_may_read_is_closed_to_them_when_it_is_found(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    answer(model, tokenizer, tmp_path)
    first, *others = sorted(tmp_path.glob("*.kv"))
    first.chmod(0o640)
    folder = CacheFolder(tmp_path)
    found = folder.blocks()
    folder.close()
    assert sorted(name for name, _ in found) == [path.stem for path in (first, *others)]
    assert {path.stat().st_mode & 0o777 for path in (first, *others)} == {0o600}


def test_a_folder_that_cannot_be_used_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: CacheFolder) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CacheFolder, "_open_secret", full)
    (tmp_path / "kept").mkdir()
    for name in ("new", "kept"):
        with pytest.raises(UserError, match="No space left"):
            CacheFolder(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_of_before_is_closed_and_its_files_go_but_nobody_elses(tmp_path: Path) -> None:
    old, home = tmp_path / "old", tmp_path / "home"
    for folder in (old, home):
        folder.mkdir(mode=0o755)
        (folder / f"{'0a' * 16}.kv").write_bytes(b"tokens in clear")
    for name in ("notes.txt", "model.kv", "0a.kv", f"{'0a' * 16}.kv.bak", "other.1.tmp"):
        (home / name).write_text("mine")
    for folder in (old, home):
        tier(folder).close()
        assert not [*folder.glob("0a0a*.kv")]
    assert old.stat().st_mode & 0o777 == 0o700
    assert home.stat().st_mode & 0o777 == 0o755  # somebody's folder for other things stays open
    assert sum(file.read_bytes() == b"mine" for file in home.iterdir()) == 5


def test_a_secret_that_others_could_read_is_none(tmp_path: Path) -> None:
    disk = tier(tmp_path)
    put(disk, 1)
    disk.close()
    (tmp_path / "secret").chmod(0o644)
    again = tier(tmp_path)
    assert again.bytes == 0
    assert again.folder.secret != disk.folder.secret
    again.close()


def test_a_secret_that_was_written_before_goes_on(tmp_path: Path) -> None:
    """32 bytes, for its owner alone, as every version has written it."""
    secret = bytes(range(32))
    (tmp_path / "secret").write_bytes(secret)
    (tmp_path / "secret").chmod(0o600)
    folder = CacheFolder(tmp_path)
    assert folder.secret == secret
    folder.close()


def test_a_file_of_somebody_elses_under_the_secrets_name_stays(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("where the treasure lies")
    tmp_path.chmod(0o755)
    with pytest.raises(UserError, match="secret is not a file that centime wrote"):
        CacheFolder(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("secret", "where the treasure lies")]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_one_server_a_folder(tmp_path: Path) -> None:
    first = tier(tmp_path)
    with pytest.raises(UserError, match=f"in use by another server .process id {os.getpid()}."):
        CacheFolder(tmp_path)
    hold = f"import pathlib, centime.serve.kv_cache.cache_folder as f; f.CacheFolder(pathlib.Path({str(tmp_path)!r}))"
    ended = subprocess.run([sys.executable, "-c", hold], capture_output=True, text=True, check=False)
    assert "in use by another server" in ended.stderr
    first.close()
    killed = subprocess.run([sys.executable, "-c", f"{hold}; import os; os.kill(os.getpid(), 9)"], check=False)
    assert killed.returncode == -9
    tier(tmp_path).close()


@pytest.mark.slow
def test_a_second_server_is_told_before_it_reads_its_weights(tmp_path: Path) -> None:
    model = small_folder(tmp_path / "model")
    (model / "model.safetensors").write_bytes(b"damaged")
    holder = CacheFolder(tmp_path / "cache")
    ended = centime("serve", str(model), "--disk-cache", str(tmp_path / "cache"), "--port", "0")
    holder.close()
    assert ended.returncode
    assert f"in use by another server (process id {os.getpid()})" in " ".join(ended.stderr.split())


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give another one"):
        CacheFolder(tmp_path / "file" / "below")
    (tmp_path / "odd" / "secret" / "below").mkdir(parents=True)
    with pytest.raises(UserError, match="give another one"):
        CacheFolder(tmp_path / "odd")


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    room = tier(tmp_path / "one")
    put(room, 0)
    room.close()
    size = room.bytes
    disk = tier(tmp_path / "three", 3 * size + size // 2)
    for token in range(3):
        put(disk, token)
    disk.close()
    again = tier(tmp_path / "three", 3 * size + size // 2)
    assert get(again, 0) is not None
    put(again, 3)
    again.close()
    assert [token for token in range(4) if get(again, token) is not None] == [0, 2, 3]
    assert again.bytes == kept(tmp_path / "three") <= again.limit


def test_what_is_over_the_limit_goes_at_the_start(tmp_path: Path) -> None:
    disk = tier(tmp_path)
    for token in range(8):
        put(disk, token)
        put(disk, token)  # twice is once
    disk.close()
    assert disk.bytes == kept(tmp_path)
    size = disk.bytes // 8
    for age, token in enumerate((3, 1, 7)):
        os.utime(tmp_path / f"{disk._name(block_key(ROOT, [token]))}.kv", (2**31 + age, 2**31 + age))
    smaller = tier(tmp_path, 3 * size)
    assert smaller.bytes == kept(tmp_path) == 3 * size
    assert [token for token in range(8) if get(smaller, token) is not None] == [1, 3, 7]
    smaller.close()
    none = tier(tmp_path, size - 1)
    put(none, 1)
    none.close()
    assert none.bytes == kept(tmp_path) == 0


def test_what_the_dead_left_unfinished_is_removed_and_only_that(tmp_path: Path) -> None:
    tier(tmp_path).close()
    name, alive = "0a" * 16, os.getppid()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    files = [tmp_path / f"{name}.{pid}.tmp" for pid in (dead.pid, os.getpid(), alive)]
    for file in files:
        file.write_bytes(b"half")
    tier(tmp_path).close()
    assert [file.exists() for file in files] == [False, False, True]


def test_a_folder_that_vanishes_is_said_once_and_serving_goes_on(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served = engine(model, tokenizer, disk=tmp_path / "cache")
    run(served, Asked(PROMPT, max_tokens=5))
    (tmp_path / "cache").rename(tmp_path / "gone")
    requests = [Asked([first, *PROMPT], max_tokens=5) for first in range(30, 33)]
    run(served, *requests)
    served.stop()
    assert [request.tokens for request in requests] == [brute_force(model, request.prompt, 5) for request in requests]
    assert capfd.readouterr().err.count("cannot be written") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="SIGXFSZ")
def test_a_full_disk_keeps_nothing_half(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import pathlib, resource, signal, sys, tests.serve.kv_cache.disk as t\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"  # a write beyond the limit is an error, as on a full disk
        "disk = t.tier(pathlib.Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "t.put(disk, 1); t.put(disk, 2)\n"
        "while not disk._todo.empty(): pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "t.put(disk, 3); disk.close()\n"
        "print([t.get(disk, token) is not None for token in (1, 2, 3)][2], t.kept(disk.folder.path) == disk.bytes)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert ended.stdout == "True True\n"
    assert ended.stderr.count("cannot be written") == 1
    assert not [*tmp_path.glob("*.tmp")]
