"""Prefixes on disk survive a restart, are verified when read, are one server's and its owner's alone, keep to their
room, and hold only what was computed: whatever happens to the files, no answer changes and no engine ends."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.forked import centime
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.small import small_config, small_folder, small_model, small_tokenizer
from torch import Tensor

from centime.data.tokenizers import Tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.serve.kv_cache.block_pool import block_key, root_key
from centime.serve.kv_cache.cache_folder import CacheFolder
from centime.serve.kv_cache.disk_tier import DiskTier, fingerprint

PROMPT = list(range(3, 25))
ROOT = root_key("")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return small_model(tokenizer)


@pytest.fixture(scope="module")
def drafting(tokenizer: Tokenizer) -> Transformer:
    """A model whose MTP modules are two, of which serving uses the first."""
    config = small_config(tokenizer.vocab_size, 256).model_copy(update={"num_nextn_predict_layers": 2})
    made = Transformer(config)
    made.init_weights(0)
    return made.eval()


def answer(model: Transformer, tokenizer: Tokenizer, folder: Path, **settings: object) -> Asked:
    """One answer of a server that is started for it and stopped after it."""
    served, request = engine(model, tokenizer, disk=folder, **settings), Asked(PROMPT, max_tokens=5)
    run(served, request)
    served.stop()
    assert request.tokens == brute_force(model, PROMPT, 5)
    return request


def tier(folder: Path, limit: int = 10**6, shape: tuple[int, ...] = (2, 4, 8), model: str = "model") -> DiskTier:
    return DiskTier(CacheFolder(folder), limit, model, shape, torch.float32)


def put(disk: DiskTier, token: int, entries: Tensor | None = None) -> None:
    whole = torch.full(disk.shape, float(token)) if entries is None else entries
    disk.put(block_key(ROOT, [token]), ROOT, [token], whole)


def get(disk: DiskTier, token: int) -> Tensor | None:
    return disk.get(block_key(ROOT, [token]), ROOT, [token])


def kept(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.kv"))


def test_a_restarted_server_finds_what_it_computed(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 0
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # five blocks of four


# -- what is kept: only what the engine wrote, and all of it


def stored(folder: Path) -> list[Tensor]:
    return [load_file(file)["entries"] for file in folder.glob("*.kv")]


def test_no_bit_of_what_memory_held_before_is_kept(drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, options in (("drafts", {}), ("none", {"drafts": False}), ("exact", {"deterministic": True})):
        served = engine(drafting, tokenizer, blocks=128, disk=tmp_path / name, **options)
        served.pages.stored.fill_(777.0)
        run(served, *(Asked(range(5 + n, 125 + n), max_tokens=1 + 20 * n, ignore_eos=True) for n in range(3)))
        served.stop()
        kept_ = stored(tmp_path / name)
        assert len(kept_) > 50
        assert not any((entries == 777.0).any() for entries in kept_)
        assert {len(entries) for entries in kept_} == {2 if name == "none" else 3}


def test_a_tenants_files_hold_nothing_of_another(drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    served = engine(drafting, tokenizer, blocks=42, disk=tmp_path)
    run(served, Asked([(7 * n) % 290 + 5 for n in range(140)], max_tokens=4, isolation="alice"))
    latents = {row.numpy().tobytes() for layer in served.pages.stored for row in layer}  # and bob gets her blocks
    run(served, Asked([(11 * n) % 290 + 6 for n in range(140)], max_tokens=4, isolation="bob"))
    served.stop()
    bobs = [e for e in stored(tmp_path) if not all(row.numpy().tobytes() in latents for row in e[1])]
    assert len(bobs) > 20
    assert not any(row.numpy().tobytes() in latents for entries in bobs for layer in entries for row in layer)


def test_what_is_kept_is_what_a_fresh_computation_writes(
    drafting: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    prompt = [(7 * n) % 290 + 5 for n in range(90)]

    def ask(disk: Path | None, before: float) -> tuple[Asked, dict[bytes, Tensor]]:
        served, request = engine(drafting, tokenizer, blocks=128, disk=disk), Asked(prompt, max_tokens=30)
        served.pages.stored.fill_(before)
        run(served, request)
        pages = {b.key: served.pages.read(i)[:3].clone() for i, b in enumerate(served.pool.blocks) if b.key}
        served.stop()
        return request, pages

    fresh, computed = ask(None, 1.0)
    first, _ = ask(tmp_path, 2.0)
    again, restored = ask(tmp_path, 3.0)
    assert again.end.usage.hit_tokens == 88
    assert fresh.tokens == first.tokens == again.tokens
    # with the same guesses: entries that were not whole would make other ones
    assert (fresh.end.usage.drafted_tokens, fresh.end.usage.accepted_tokens) == (
        again.end.usage.drafted_tokens,
        again.end.usage.accepted_tokens,
    )
    assert computed.keys() == restored.keys()
    for key in computed:
        torch.testing.assert_close(restored[key], computed[key])


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        folder = tmp_path / str(dtype)
        disk = DiskTier(CacheFolder(folder), 10**6, "model", (2, 4, 8), dtype)
        largest = torch.full((2, 4, 8), torch.finfo(dtype).max, dtype=dtype)
        put(disk, 0, -largest)
        for token, bad in enumerate((float("nan"), float("inf"), -float("inf")), start=1):
            entries = largest.clone()
            entries[1, 3, 7] = bad
            put(disk, token, entries)
        disk.close()
        assert [get(disk, token) is not None for token in range(4)] == [True, False, False, False]


# -- another model, another way of computing


def test_every_bit_of_the_model_and_the_way_it_computes_count(tokenizer: Tokenizer, model: Transformer) -> None:
    known = fingerprint(model)
    assert fingerprint(copy.deepcopy(model)) == known != fingerprint(model, deterministic=True)
    other = copy.deepcopy(model)
    for weight in (*other.parameters(), *other.buffers()):
        if not weight.is_floating_point() or not weight.numel():
            continue
        place = (weight.numel() * 2 // 3,)
        with torch.no_grad():
            before = weight.view(-1)[place].clone()
            weight.view(-1)[place] = torch.nextafter(before.float(), torch.tensor(9.0)).to(weight.dtype)
            assert fingerprint(other) != known
            weight.view(-1)[place] = before
    assert fingerprint(other) == known
    assert fingerprint(copy.deepcopy(model).to(torch.bfloat16)) != known


def test_another_models_prefixes_are_not_taken(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    answer(model, tokenizer, tmp_path)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.embed.weight[10] = torch.randn_like(other.embed.weight[10])
    assert answer(other, tokenizer, tmp_path).end.usage.hit_tokens == 0
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # both keep what is theirs
    assert answer(other, tokenizer, tmp_path).end.usage.hit_tokens == 20


def test_deterministic_answers_take_only_what_deterministic_steps_wrote(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(tokenizer, 512).to(torch.bfloat16)
    prompt = [(7 * n) % 240 + 5 for n in range(200)]

    def ask(exact: bool, folder: Path) -> tuple[list[float], int]:
        served = engine(copy.deepcopy(model), tokenizer, blocks=256, deterministic=exact, disk=folder)
        request = Asked(prompt, max_tokens=12, logprobs=0)
        run(served, request)
        served.stop()
        chances = [each.logprob for event in request.events for each in getattr(event, "logprobs", ())]
        return chances, request.end.usage.hit_tokens

    empty = ask(True, tmp_path / "empty")
    ask(False, tmp_path / "shared")
    assert ask(True, tmp_path / "shared") == empty
    assert ask(True, tmp_path / "shared") == (empty[0], 196)


# -- files that are not what they should be


@pytest.mark.parametrize("harm", ["cut", "flip", "swap", "empty"])
def test_a_damaged_file_is_a_miss(model: Transformer, tokenizer: Tokenizer, tmp_path: Path, harm: str) -> None:
    answer(model, tokenizer, tmp_path)
    first, *others = sorted(tmp_path.glob("*.kv"))
    for file in (first, *others):
        whole = file.read_bytes()
        if harm == "cut":
            file.write_bytes(whole[: len(whole) // 2])
        elif harm == "flip":
            file.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        elif harm == "swap" and file != first:
            file.write_bytes(first.read_bytes())
        elif harm == "empty":
            file.write_bytes(b"")
    hits = answer(model, tokenizer, tmp_path).end.usage.hit_tokens
    assert hits in ((0, 4) if harm == "swap" else (0,))
    assert answer(model, tokenizer, tmp_path).end.usage.hit_tokens == 20  # written anew


def _rewrite(change: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    def harm(file: Path) -> None:
        held = load_file(file)
        save_file({name: change(held[name]) if name == "entries" else held[name] for name in held}, file)

    return harm


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def harm(file: Path) -> None:
        file.unlink()
        make(file)

    return harm


HARMS: dict[str, Callable[[Path], object]] = {
    "zeros": _rewrite(torch.zeros_like),
    "fewer tokens": _rewrite(lambda entries: entries[:, :-1].contiguous()),
    "fewer layers": _rewrite(lambda entries: entries[:-1].contiguous()),
    "another layout": _rewrite(lambda entries: entries.view(-1)),
    "another type": _rewrite(lambda entries: entries.view(torch.int32)),
    "other names": lambda file: save_file({"latents": load_file(file)["entries"]}, file),
    "text": lambda file: file.write_text("no tensors"),
    "long": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "unreadable": lambda file: file.chmod(0),
    "gone": lambda file: file.unlink(),
    "folder": _instead(lambda file: file.mkdir()),
    "full folder": _instead(lambda file: (file / "below").mkdir(parents=True)),
    "pipe": _instead(os.mkfifo),
    "link": _instead(lambda file: file.symlink_to("/dev/zero")),
    "link to nothing": _instead(lambda file: file.symlink_to("nowhere")),
    "link to itself": _instead(lambda file: file.symlink_to(file.name)),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("running", [False, True], ids=["between", "running"])
def test_whatever_lies_there_changes_no_answer(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path, harm: str, running: bool
) -> None:
    answer(model, tokenizer, tmp_path)
    if running:
        served = engine(model, tokenizer, disk=tmp_path)
    for file in [*tmp_path.glob("*.kv")]:
        HARMS[harm](file)
    if not running:
        served = engine(model, tokenizer, disk=tmp_path)
    request, beside = Asked(PROMPT, max_tokens=5), Asked([9, 8, 7], max_tokens=5)
    run(served, request, beside)
    served.stop()
    assert request.tokens == brute_force(model, PROMPT, 5)
    assert beside.tokens == brute_force(model, [9, 8, 7], 5)
    if os.geteuid() or harm != "unreadable":  # root may read everything
        assert request.end.usage.hit_tokens == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_harm_to_the_folder(
    model: Transformer, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed, cut, added, files exchanged or removed, also of the lock, the secret and the digests."""
    folder = tmp_path_factory.mktemp("harmed")
    answer(model, tokenizer, folder)
    for _ in range(data.draw(st.integers(1, 5))):
        file = data.draw(st.sampled_from(sorted(folder.iterdir())))
        whole = file.read_bytes()
        at = data.draw(st.integers(0, max(0, len(whole) - 1)))
        kind = data.draw(st.sampled_from(["set", "cut", "add", "exchange", "remove"]))
        if kind == "set":
            file.write_bytes(whole[:at] + data.draw(st.binary(max_size=64)) + whole[at + 1 :])
        elif kind == "cut":
            file.write_bytes(whole[:at])
        elif kind == "add":
            file.write_bytes(whole + data.draw(st.binary(max_size=64)))
        elif kind == "exchange":
            other = data.draw(st.sampled_from(sorted(folder.iterdir())))
            file.write_bytes(other.read_bytes())
            other.write_bytes(whole)
        elif len([*folder.iterdir()]) > 1:
            file.unlink()
    answer(model, tokenizer, folder)  # compares with the brute force
    assert answer(model, tokenizer, folder).end.usage.hit_tokens == 20


# -- whose the folder is


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


# -- its room


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
        "import pathlib, resource, signal, sys, tests.serve.kv_cache.test_disk_tier as t\n"
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


# -- the digest of the weights


def test_the_digest_is_computed_once_for_files_that_stay(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    made: list[int] = []

    def compute() -> str:
        made.append(1)
        return f"digest {len(made)}"

    assert [folder.digest(mark, compute) for mark in ("a", "a", "b", "a", None, None)] == [
        "digest 1", "digest 1", "digest 2", "digest 1", "digest 3", "digest 4"
    ]  # fmt: skip
    (tmp_path / "digests.json").write_text("[1")
    assert folder.digest("a", compute) == "digest 5"
    folder.close()
    again = CacheFolder(tmp_path)
    assert again.digest("a", compute) == "digest 5"
    again.close()
