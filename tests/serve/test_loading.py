"""Weights are read beside the main thread: nothing stays of that, and nobody has to wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.small import small_config, small_folder, small_tokenizer

from centime.errors import UserError
from centime.model import Transformer
from centime.model.checkpoint import load, save
from centime.native import library as native
from centime.ops import precision
from centime.ops.linear import packs
from centime.ops.panels import Panels
from centime.serve import loading

HELPERS_LEFT = """
import os, sys, time
from pathlib import Path
from centime.model import checkpoint, packed  # imports start threads too
from centime.serve import loading
found = loading.open_folder(Path(sys.argv[1]), "cpu")
before = len(os.listdir("/proc/self/task"))
loading.load_for_inference(found, "float16")
end = time.monotonic() + 5
while (left := len(os.listdir("/proc/self/task")) - before) and time.monotonic() < end:
    time.sleep(0.01)  # the system takes a moment to bury a thread
loading.load_weights(found, "float16")  # where they are read in the main thread
assert "sympy" not in sys.modules, "half a second for what no model needs"
print(left, len(os.listdir("/proc/self/task")) - before > 0)
"""

INTERRUPTED = """
import os, signal, threading, time
from centime.model import packed  # torch first: an interrupt within its import may be lost
from centime.serve import loading
loading._read = loading._dtype = lambda *_, **__: time.sleep(60)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    loading.load_for_inference(None)
except KeyboardInterrupt:
    print("interrupted")
"""


def said(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=200
    ).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads that Linux shows")
def test_no_helpers_are_left_that_the_engine_would_have_to_share_cores_with(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    config = small_config(tokenizer.vocab_size).model_copy(update={"hidden_size": 512})
    model = Transformer(config)
    model.init_weights(0)
    save(model, tmp_path / "model", tokenizer=tokenizer.folder)
    assert said(HELPERS_LEFT, str(tmp_path / "model")) == "0 True"


def test_an_interrupt_does_not_wait_for_the_weights() -> None:
    assert said(INTERRUPTED) == "interrupted"


@pytest.mark.parametrize("kernels", ["avx2", "portable", ""])
def test_bf16_that_torch_would_emulate_is_kept_for_our_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: str
) -> None:
    folder = small_folder(tmp_path / "model")
    save(load(folder, dtype=torch.bfloat16), tmp_path / "half", tokenizer=folder)
    monkeypatch.setattr(precision, "native_bf16", lambda device: False)
    monkeypatch.setattr(native, "kernels", lambda: kernels)
    for path, expected in ((folder, torch.float32), (tmp_path / "half", torch.bfloat16 if kernels == "avx2" else None)):
        model = loading.load_for_inference(loading.open_folder(path, "cpu")).model
        assert model.dtype == (expected or torch.float32)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("asked", "expected"), [(None, None), ("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")]
)
def test_weights_come_in_the_type_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, expected: str | None, native: bool
) -> None:
    """Where none was, in the folder's own, but where the processor only emulates 16-bit products in float32."""
    folder = small_folder(tmp_path / "model")
    save(load(folder, dtype=torch.bfloat16), tmp_path / "half", tokenizer=folder)
    monkeypatch.setattr(precision, "native_bf16", lambda device: native)
    for path, own in ((folder, "float32"), (tmp_path / "half", "bfloat16")):
        loaded = loading.load_model(path, "cpu", asked)
        assert str(loaded.model.head_weight.dtype) == f"torch.{expected or (own if native else 'float32')}"
        assert not loaded.model.training


def test_weights_are_packed_for_inference_alone(tmp_path: Path) -> None:
    if not packs(torch.empty(1, 1, dtype=torch.bfloat16)):
        pytest.skip("this processor multiplies no bf16")
    found = loading.open_folder(small_folder(tmp_path / "model"), "cpu")
    for read, packed in ((loading.load_weights, False), (loading.load_for_inference, True)):
        head = read(found, "bfloat16").model.head_weight
        assert (head.is_mkldnn or isinstance(head, Panels)) is packed


def test_what_is_no_model_is_a_sentence(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "none", "does not exist; give a model's folder"),
        (tmp_path / "file", "file is a file; a model is a folder with"),
        (run, r"run has no config\.json; a model is a folder with .*tokenizer\.json\.$"),
    ):
        with pytest.raises(UserError, match=said):
            loading.find_model(path)
    (run / "recipe.toml").touch()
    with pytest.raises(UserError, match="The run may not be finished"):
        loading.find_model(run)
    folder = small_folder(tmp_path / "small")
    assert loading.find_model(folder) == (folder, folder)
    assert loading.name_of(loading.open_folder(folder, "cpu")) == "small"
    with pytest.raises(UserError, match="dtype is 'int8'; give one of float32, bfloat16, float16"):
        loading.open_folder(folder, "cpu", "int8")


def test_a_run_pays_for_its_model_and_its_other_models_are_told_apart(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for folder in (run / "model", run / "base", elsewhere / "model"):
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    (run / "recipe.toml").touch()
    (tmp_path / "link").symlink_to(run / "base")
    assert loading.find_model(run) == (run / "model", run)
    assert loading.find_model(run / "model") == (run / "model", run)
    assert loading.find_model(run / "base") == (run / "base", "run-base")
    assert loading.find_model(tmp_path / "link") == (tmp_path / "link", "run-base")
    assert loading.find_model(elsewhere / "model") == (elsewhere / "model", elsewhere / "model")
    assert loading.find_model(elsewhere) == (elsewhere / "model", elsewhere)
