"""Whatever happens to the files of a cache folder, no answer changes and no engine ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.serve.engine.made import Asked, brute_force, engine, run
from tests.serve.kv_cache.disk import PROMPT, answer
from torch import Tensor

from centime.data.tokenizers import Tokenizer
from centime.model import Transformer


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


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
