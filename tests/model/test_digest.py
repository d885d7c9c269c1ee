"""A digest of weights changes with any bit of them; a mark of files with any change of theirs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from tests.small import small_folder, small_model, small_tokenizer
from torch import nn

from centime.model import checkpoint, digest, packed
from centime.ops.linear import packs


def test_every_bit_name_type_and_shape_counts() -> None:
    made = torch.arange(3 * 2**20, dtype=torch.float32)  # three chunks

    def of(weight: torch.Tensor, name: str = "weight") -> str:
        module = nn.Module()
        module.register_parameter(name, nn.Parameter(weight))
        return digest.weights_digest(module)

    known = of(made)
    assert of(made.clone()) == known
    for place in (0, 2**20 - 1, 2**20, len(made) - 1):
        other = made.clone()
        other.view(torch.int32)[place] ^= 1
        assert of(other) != known
    assert len({known, of(made, "other"), of(made.view(2, -1)), of(made.view(torch.int32).float())}) == 4
    zero = torch.zeros(4)
    assert of(zero) != of(-zero)  # equal, but not alike


def test_packed_weights_have_a_digest_of_their_own(tmp_path: Path) -> None:
    model = small_model(small_tokenizer(tmp_path)).to(torch.bfloat16)
    if not packs(model.head_weight):
        pytest.skip("this processor multiplies no bf16")
    plain = digest.weights_digest(model)
    once = digest.weights_digest(packed.pack_weights(model))
    assert once != plain
    assert digest.weights_digest(model) == once


def test_a_mark_changes_with_any_change_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_folder(tmp_path / "model")
    assert digest.files_mark(folder) is None  # written only now
    monkeypatch.setattr(digest, "SETTLED_NS", 0)
    marks = [digest.files_mark(folder)]
    weights = folder / "model.safetensors"
    kept = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)
    weights.write_bytes(content)  # in place, of the same size, and with the same time as before
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    marks.append(digest.files_mark(folder))
    other = tmp_path / "other"
    other.write_bytes(content)
    weights.unlink()
    weights.symlink_to(other)
    marks.append(digest.files_mark(folder))
    (folder / "model-2.safetensors").write_bytes(b"")
    marks.append(digest.files_mark(folder))
    assert None not in marks
    assert len(set(marks)) == 4
    assert digest.files_mark(folder) == marks[-1]
    assert digest.files_mark(tmp_path / "nowhere") is None


def test_weights_that_were_written_while_they_were_read_have_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from centime.serve import loading

    monkeypatch.setattr(digest, "SETTLED_NS", 0)
    folder = small_folder(tmp_path / "model")
    assert loading.load_model(folder).files is not None
    real = checkpoint.load

    def slow(*given: object, **named: object) -> object:
        read = real(*given, **named)  # type: ignore[arg-type]
        time.sleep(0.02)
        os.utime(folder / "model.safetensors")
        return read

    monkeypatch.setattr(checkpoint, "load", slow)
    assert loading.load_model(folder).files is None
