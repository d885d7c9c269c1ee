"""Packed weights in the user's cache: the same model from there, and whatever happens to the file, a model at all."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.forked import python_process
from tests.model.latent_cache import LatentCache
from tests.small import small_config, small_tokenizer

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer, digest
from centime.model.checkpoint import save
from centime.model.packed import pack_weights
from centime.model.packed import stored as packed_file
from centime.model.packed.stored import Damaged, load_packed, save_packed
from centime.native import library as native
from centime.ops.quantised import quantise
from centime.serve import loading, weight_cache

pytestmark = pytest.mark.skipif(not native.is_vectorised(), reason="no kernels of our own for this processor")
VARIANTS = {"mla": {}, "tied": {"tie_word_embeddings": True}, "drafts": {"num_nextn_predict_layers": 1}}


def made(variant: str = "mla", vocabulary: int = 300) -> Transformer:
    known = small_config(vocabulary).model_dump() | VARIANTS[variant]
    model = Transformer(ModelConfig.model_validate(known))
    model.init_weights(0)
    return model.bfloat16().eval()


@torch.inference_mode()
def logits(model: Transformer) -> torch.Tensor:
    cache = LatentCache(model.config, 1, 8, torch.bfloat16)
    return model.unembed(model.advance(torch.arange(8)[None], cache))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built = native._cache()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native._cache().mkdir(parents=True)
    for library in built.glob("native-*"):  # processes need not build it again
        (native._cache() / library.name).symlink_to(library)
    monkeypatch.setattr(weight_cache, "LEAST", 0)
    monkeypatch.setattr(digest, "SETTLED_NS", 0)
    return tmp_path / "cache" / "centime" / "weights"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    return save(made(vocabulary=tokenizer.vocab_size), tmp_path / "model", tokenizer=tokenizer.folder)


def start(folder: Path, *, keep: bool = True) -> Transformer:
    return loading.load_for_inference(loading.open_folder(folder, "cpu"), keep=keep).model


@pytest.mark.parametrize("kind", ["bf16", "int8", "int4"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_read_is_what_was_saved(variant: str, kind: str, tmp_path: Path) -> None:
    model = made(variant)
    for name, weight in [*model.named_parameters()]:
        if kind != "bf16" and weight.dim() > 1 and "router" not in name and name != "embed.weight":
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, quantise(weight, kind))
    assert save_packed(pack_weights(model), tmp_path / "file", "here")
    read = load_packed(tmp_path / "file")
    assert torch.equal(logits(read), logits(model))
    assert read.config == model.config
    assert read.state_dict().keys() == model.state_dict().keys()
    assert packed_file.source_of(tmp_path / "file") == "here"


def test_a_model_that_is_not_all_in_panels_is_not_kept(tmp_path: Path) -> None:
    assert not save_packed(made(), tmp_path / "file", "here")
    assert not (tmp_path / "file").exists()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "file"
    assert save_packed(pack_weights(made()), path, "here")
    return path


def written(content: bytes) -> list[tuple[int, int]]:
    """Where such a file has bytes that mean something: its head, and its tensors."""
    begin = len(packed_file.MAGIC) + 8 + packed_file.DIGEST_BYTES
    end = begin + int.from_bytes(content[len(packed_file.MAGIC) :][:8], "little")
    entries = [packed_file.Entry(**entry) for entry in json.loads(content[begin:end])["tensors"]]
    first = -(-end // packed_file.PAGE) * packed_file.PAGE + entries[0].offset
    return [(0, end), *((first + each.offset, first + each.offset + packed_file._bytes(each)) for each in entries)]


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.floats(0, 1, exclude_max=True), st.integers(0, 7), st.data())
def test_any_change_of_the_file_is_noticed(packed: Path, cut: bool, at: float, bit: int, data: st.DataObject) -> None:
    whole = packed.read_bytes()
    if cut:
        changed = whole[: int(at * len(whole))]
    else:
        first, end = data.draw(st.sampled_from(written(whole)))
        place = first + int(at * (end - first))
        changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    other = packed.with_name("changed")
    other.write_bytes(changed)
    with pytest.raises(Damaged):
        load_packed(other)


def test_the_second_start_reads_what_the_first_kept(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = start(folder, keep=False)
    assert not cache.exists()
    start(folder)
    (file,) = cache.iterdir()
    assert f"are kept as they are served in {file} (" in capsys.readouterr().err
    monkeypatch.setattr(loading, "_read", None)
    assert torch.equal(logits(start(folder, keep=False)), logits(first))
    assert not capsys.readouterr().err


def flipped(whole: bytes) -> bytes:
    place = written(whole)[-1][0]
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"", flipped])
def test_a_damaged_file_is_made_again(
    cache: Path, folder: Path, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    first = start(folder)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert torch.equal(logits(start(folder)), logits(first))
    assert "is of no use (it" in capsys.readouterr().err
    assert file.read_bytes() == whole


def test_another_model_in_the_same_folder_is_read_anew_and_the_old_ones_weights_go(cache: Path, folder: Path) -> None:
    start(folder)
    (old,) = cache.iterdir()
    model = made(vocabulary=json.loads((folder / "config.json").read_text())["vocab_size"])
    model.init_weights(1)
    save(model, folder)
    assert torch.equal(logits(start(folder)), logits(pack_weights(model)))
    (new,) = cache.iterdir()
    assert new != old


def test_nothing_is_kept_where_that_is_turned_off_or_there_is_no_room(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(weight_cache.SWITCH, "0")
    start(folder)
    monkeypatch.delenv(weight_cache.SWITCH)
    monkeypatch.setattr(weight_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    start(folder)
    assert "1000 B free: the weights are not kept" in capsys.readouterr().err
    monkeypatch.undo()
    assert not any(cache.glob("*.packed"))


def keeper(folder: Path, how: str = "") -> tuple[int, str, str]:
    """Its exit code, output and errors."""
    process = python_process(
        "tests.serve.weight_keeper", str(folder), how, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        out, errors = process.communicate(timeout=200)
    return process.returncode, out, errors


@pytest.mark.slow
def test_one_that_is_killed_or_has_no_room_leaves_nothing_and_two_at_once_leave_one(cache: Path, folder: Path) -> None:
    assert keeper(folder, "killed")[0] == -signal.SIGKILL
    assert not [file for file in cache.iterdir() if file.suffix == ".packed"]
    _, out, errors = keeper(folder, "full")
    assert out == "torch.bfloat16\n"
    assert "the weights are not kept as they are served (" in errors
    assert not any(cache.iterdir())  # what the killed one left is gone too
    with ThreadPoolExecutor(2) as two:
        for code, out, _ in two.map(keeper, [folder, folder]):
            assert (code, out) == (0, "torch.bfloat16\n")
    (file,) = cache.iterdir()
    assert file.suffix == ".packed"
    start(folder)
