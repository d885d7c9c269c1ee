"""Preparing data: the same bytes for any number of workers, and never half a folder."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from centime.data.loader import Loader
from centime.data.shards import prepare as preparing
from centime.data.shards.prepare import Preparation, Progress, prepare
from centime.data.shards.shard_set import ShardSet
from centime.data.sources import LeftOut, ReadOptions, Sources, local_file
from centime.data.split import digest, is_held_out
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """600 KB in documents of very unequal length."""
    return [f"{number}: été {'word ' * (number % 50)}\n" * (1 + 200 * (number % 97 == 0)) for number in range(1500)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    path = tmp_path_factory.mktemp("source") / "docs.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen batches out of a small source."""
    monkeypatch.setattr(preparing, "BATCH_CHARACTERS", 1 << 16)


def test_batches_say_how_far_all_sources_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two texts of 2 letters fill a batch; a file is read by blocks, of which each of these is one."""
    monkeypatch.setattr(preparing, "BATCH_CHARACTERS", 4)
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"text":"{text}"}}\n' for text in ("xy", "xz", "", "xw")))
    files, left_out = [local_file(tmp_path / f"{name}.jsonl") for name in "ab"], LeftOut()
    one = files[0].size
    batches = list(preparing.read_batches(files, ReadOptions(), left_out))
    assert [batch.texts for batch in batches] == [["xy", "xz"], ["xw", "xy"], ["xz", "xw"]]
    assert [batch.source_bytes for batch in batches] == [one, 2 * one, 2 * one]
    assert left_out.reasons == {"empty": 2}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("small_batches")
def test_what_is_prepared_is_what_was_read(
    source: Path, texts: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    seen: list[int] = []
    out = tmp_path / "out"
    done = prepare(
        Sources([str(source)]),
        tokenizer.folder,
        out,
        Preparation(holdout=0.1, shard_tokens=100_000),
        progress=lambda p: seen.append(p.source_bytes),
    )
    splits = {name: ShardSet(out / name) for name in ("train", "holdout")}
    found = {
        name: [tokenizer.decode(s.document(n)[1:-1]) for n in range(s.index.documents)] for name, s in splits.items()
    }
    assert found["holdout"] == [text for text in texts if is_held_out(digest(text.encode()), 0.1)]
    assert found["train"] == [text for text in texts if not is_held_out(digest(text.encode()), 0.1)]
    for name, shards in splits.items():
        shards.check()
        assert shards.index.bytes == sum(len(text.encode()) for text in found[name])
    assert len(splits["train"].index.shards) > 3
    assert (done.documents, done.held_out_documents) == (len(found["train"]), len(found["holdout"]))
    assert done.text_bytes == sum(len(text.encode()) for text in texts)
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == done.source_total == source.stat().st_size
    assert ShardSet(out).folder == out / "train", "a loader given the whole folder reads the training split"
    Loader([(out, 1.0)], 64).require_tokenizer(tokenizer)
    assert (out / "tokenizer" / "tokenizer.json").read_bytes() == (tokenizer.folder / "tokenizer.json").read_bytes()


@pytest.mark.usefixtures("small_batches")
def test_any_number_of_workers_writes_the_same_bytes(source: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for workers in (1, 3):
        how = Preparation(fim=0.2, holdout=0.1, seed=5, workers=workers)
        prepare(Sources([str(source)]), tokenizer.folder, tmp_path / str(workers), how)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    prepare(Sources([str(source)]), tokenizer.folder, tmp_path / "6", Preparation(fim=0.2, holdout=0.1, seed=6))
    assert contents(tmp_path / "6")["train/tokens-00000.bin"] != contents(tmp_path / "1")["train/tokens-00000.bin"]
    for file in ("holdout/tokens-00000.bin", "holdout/documents-00000.bin"):
        assert contents(tmp_path / "6")[file] == contents(tmp_path / "1")[file], "the seed moves no held-out document"


def test_an_empty_corpus_and_bad_options(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"text": null}\n')
    (tmp_path / "b.txt").write_text("one document")

    def refused(message: str, *specs: str, **how: object) -> None:
        sources = Sources([str(tmp_path / spec) for spec in specs])
        with pytest.raises(UserError, match=message):
            prepare(sources, tokenizer.folder, tmp_path / "out", Preparation(**how))  # type: ignore[arg-type]
        assert not [path for path in tmp_path.iterdir() if "out" in path.name]

    refused(r"corpus is empty: .*a\.jsonl gave no text to train on \(2 empty\)", "a.jsonl")
    refused(r"all 1 documents were held out.*lower --holdout", "b.txt", holdout=1 - 1e-12)
    refused("--fim 1.5 is not a share", "b.txt", fim=1.5)
    for workers in (0, 1025):
        refused(f"--workers {workers}: expected 1 to 1,024", "b.txt", workers=workers)
    (tmp_path / "c.txt").write_bytes(b"\xff")
    refused(r"c\.txt is not UTF-8", "b.txt", "c.txt")
    refused(r"c\.txt is not UTF-8", "b.txt", "c.txt", workers=2)
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken is a file"):
        prepare(Sources([str(tmp_path / "b.txt")]), tokenizer.folder, tmp_path / "taken")


def test_an_existing_folder_is_kept_unless_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first")
    out = tmp_path / "out"
    prepare(Sources([str(tmp_path / "a.txt")]), tokenizer.folder, out)
    before = contents(out)
    (tmp_path / "a.txt").write_text("second")
    with pytest.raises(
        UserError, match=r"out already exists and is not empty\. Choose another --out, or add --overwrite"
    ):
        prepare(Sources([str(tmp_path / "a.txt")]), tokenizer.folder, out)
    assert contents(out) == before
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        prepare(Sources([str(tmp_path / "a.txt")]), tokenizer.folder, out, overwrite=True)
    assert contents(out) == before, "a failed overwrite leaves the old data"
    sources = Sources([str(tmp_path / "a.txt")], ReadOptions(undecodable="replace"))
    prepare(sources, tokenizer.folder, out, overwrite=True)
    assert tokenizer.decode(ShardSet(out).document(0)[1:-1]) == "\ufffd"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out"]


def command(source: Path, tokenizer: Tokenizer, out: Path, workers: int = 2) -> list[str]:
    options = ["--tokenizer", str(tokenizer.folder), "--out", str(out), "--workers", str(workers)]
    return [sys.executable, "-m", "centime", "data", "prepare", str(source), *options]


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def large_source(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """40 MB: many seconds of work, so that a signal finds it under way."""
    path = tmp_path_factory.mktemp("large") / "docs.jsonl"
    block = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    path.write_text(block * (40_000_000 // len(block)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_half_way(
    large_source: Path, source: Path, tokenizer: Tokenizer, tmp_path: Path, number: signal.Signals
) -> None:
    """No folder under the final name, no worker left behind, and the next run clears what a kill -9 left."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(large_source, tokenizer, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: any(path.stat().st_size for path in tmp_path.glob(".out.partial-*/train/tokens-00000.bin")))
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not out.exists()
    left = list(tmp_path.iterdir())
    assert len(left) == (2 if number == signal.SIGKILL else 0)  # the folder and its lock
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers), 20)
    prepare(Sources([str(source)]), tokenizer.folder, out)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_signal_is_answered_deep_in_a_huge_document(
    tokenizer: Tokenizer, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    """One word of 30 million letters: a single call of the library, of minutes."""
    (tmp_path / "word.txt").write_text("abcdefghij" * 3_000_000)
    process = subprocess.Popen(
        command(tmp_path / "word.txt", tokenizer, tmp_path / "out", workers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    parent = psutil.Process(process.pid)
    wait_for(lambda: any(sum(p.cpu_times()[:2]) > 1.5 for p in ([parent] if workers == 1 else parent.children())))
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode in (128 + number, -number)
    assert [path.name for path in tmp_path.iterdir()] == ["word.txt"]


def test_a_killed_worker_is_a_sentence(large_source: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """As the system does when memory runs out."""

    def kill(progress: Progress) -> None:
        for child in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()

    sources = Sources([str(large_source)])
    with pytest.raises(UserError, match=r"process was killed from outside.*Use fewer --workers than 2"):
        prepare(sources, tokenizer.folder, tmp_path / "out", Preparation(workers=2), progress=kill)
    assert list(tmp_path.iterdir()) == []


HALF = """
import gc, multiprocessing, os, struct
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from centime.data.shards.workers import _result

def dies_in_the_middle_of_its_answer():
    for one in gc.get_objects():
        if type(one).__name__ == "SimpleQueue" and hasattr(one, "_writer"):
            os.write(one._writer.fileno(), struct.pack("!i", 1000) + b"x" * 10)
            os._exit(1)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    try:
        _result(pool, pool.submit(dies_in_the_middle_of_its_answer))
    except BrokenProcessPool:
        pool.shutdown(wait=True, cancel_futures=True)
        print("told")
"""


def test_a_worker_killed_while_it_answers_is_noticed(tmp_path: Path) -> None:
    """Half a message is in the pipe: whoever waits for the rest of it waits for ever."""
    script = tmp_path / "half.py"
    script.write_text(HALF)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


def test_a_limit_on_file_size_keeps_nothing(large_source: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A quota by the system's own means: writes beyond 1 MiB fail, wherever they come."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(
        command(large_source, tokenizer, tmp_path / "out", 1),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{tmp_path} takes no more (File too large) after" in done.stderr
    assert "nothing was kept. Free some space, or choose an --out on another disk." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_nothing(large_source: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A real one of 1 MB, mounted in a namespace of the test's own."""
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" || exit 77; "$@"; code=$?; ls -A "$0"; exit $code'
    disk = tmp_path / "disk"
    disk.mkdir()
    run = ["unshare", "-rm", "sh", "-c", script, str(disk), *command(large_source, tokenizer, disk / "out", 1)]
    try:
        done = subprocess.run(run, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if done.returncode in (1, 77) and "centime" not in done.stderr:
        pytest.skip(f"no mounts allowed here: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert f"{disk} takes no more (No space left on device) after" in done.stderr
    assert done.stdout.strip() == ""
