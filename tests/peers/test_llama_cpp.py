"""Exported models in llama.cpp itself: logits, greedy text and tokens. Builds llama.cpp from llama-cpp-python's source.

The build takes minutes, so this is a long test; CENTIME_LLAMA_PYTHON names an interpreter that has the package already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.peers.models import CONFIGS, V2, V3, YARN, ours, relative, tokens
from typer.testing import CliRunner

import centime
from centime.cli import app
from centime.data.tokenizers import load_tokenizer
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.model import Transformer
from centime.model.gguf.export import export_gguf

pytest.importorskip("gguf")
pytestmark = pytest.mark.long

VOCABULARY = 420

CASES: dict[str, dict[str, Any]] = {
    name: fields
    for name, fields in CONFIGS.items()
    # llama.cpp has one YaRN slope, and ranks groups by their two best experts
    if "slopes" not in name and "without softmax" not in name and fields.get("topk_method") != "group_limited_greedy"
} | {
    "V2, groups all open": V2 | {"topk_method": "group_limited_greedy", "topk_group": 4, "q_lora_rank": 16},
    "V3, YaRN without magnitude": V3
    | {"rope_scaling": YARN.model_copy(update={"mscale": 0.0, "mscale_all_dim": 0.0}), "qk_nope_head_dim": 12},
    "dense, pairs rotated": CONFIGS["dense"] | {"rope_interleave": True},
}

RUN = """
import json, sys
import llama_cpp, numpy
job = json.load(open(sys.argv[1]))
model = llama_cpp.Llama(job["model"], n_ctx=256, n_batch=256, n_ubatch=256, n_threads=1, logits_all=True,
                        verbose=False, flash_attn=False, type_k=0, type_v=0)
found = {"tokens": [model.tokenize(text.encode(), add_bos=False, special=True) for text in job["texts"]]}
model.eval(job["ids"])
numpy.save(job["logits"], numpy.array(model.scores[: len(job["ids"])]))
model.reset()
stream = model.generate(job["ids"], temp=0.0, repeat_penalty=1.0)
found["greedy"] = [next(stream) for _ in range(job["count"])]
json.dump(found, open(job["found"], "w"))
"""


@pytest.fixture(scope="session")
def llama_python(root: Path) -> Path:
    """An interpreter with llama-cpp-python, built under build/ the first time."""
    if given := os.environ.get("CENTIME_LLAMA_PYTHON"):
        return Path(given)
    folder = root / "build" / "llama-cpp"
    python = folder / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import llama_cpp"], check=False).returncode:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [python, "-m", "pip", "install", "llama-cpp-python", "numpy"]
        built = subprocess.run(install, check=False, capture_output=True, text=True)
        if built.returncode:
            pytest.skip(f"llama-cpp-python could not be built here: {built.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer") / "t"
    write_tokenizer(train_tokenizer([Path(__file__).read_text()], 400), folder)
    return folder


def run(python: Path, model: Path, ids: list[int], texts: list[str] | None = None, count: int = 0) -> tuple[Any, Any]:
    """(logits [S, V], {"tokens", "greedy"}) of llama.cpp."""
    folder = model.parent
    paths = {"logits": str(folder / "logits.npy"), "found": str(folder / "found.json")}
    job = {"model": str(model), "ids": ids, "texts": texts or [], "count": count, **paths}
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [python, "-c", RUN, folder / "job.json"], check=False, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.from_numpy(np.load(paths["logits"])), json.loads(Path(paths["found"]).read_text())


@torch.no_grad()
def greedy(model: Transformer, ids: list[int], count: int) -> list[int]:
    """The plainest continuation: the whole text again for every token."""
    text = list(ids)
    for _ in range(count):
        text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    return text[len(ids) :]


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_text(name: str, llama_python: Path, tokenizer: Path, tmp_path: Path) -> None:
    model = ours(CASES[name] | {"vocab_size": VOCABULARY})
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    ids = tokens(model.config)[0].tolist()
    logits, found = run(llama_python, tmp_path / "m.gguf", ids, count=24)
    with torch.no_grad():
        assert relative(logits, model(torch.tensor([ids]))[0]) < 1e-4
    assert found["greedy"] == greedy(model, ids, 24)


_WIDTHS = [
    "hidden_size",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "v_head_dim",
    "intermediate_size",
    "moe_intermediate_size",
]


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0"])
@torch.no_grad()
def test_codes_mean_the_same_there(dtype: str, llama_python: Path, tokenizer: Path, tmp_path: Path) -> None:
    """What llama.cpp makes of a file of codes, beside ours of the same file; it rounds activations to 8 bits too."""
    model = ours(V3 | {"vocab_size": VOCABULARY, **dict.fromkeys(_WIDTHS, 64)})
    export_gguf(model, tokenizer, tmp_path / "m.gguf", dtype)
    back = centime.load(tmp_path / "m.gguf", dtype=torch.float32)
    ids = tokens(model.config)[0].tolist()
    logits, _ = run(llama_python, tmp_path / "m.gguf", ids)
    expected = back(torch.tensor([ids]))[0]
    off = (logits - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert off.median() < 0.1  # codes read otherwise are 1 off and more; an expert chosen otherwise moves one token


TEXTS = [
    "def f(x):\n    return x ** 2  # 12345 squares\n\n\n",
    "Hello!  It's 3.14159, isn't it?\tTabs\r\nand   runs of   spaces ",
    "深度求索 is 2023年 カタカナ ひらがな, Führer café naïve ½ ٣٤٥",
    "🚀 (normal) 😶\u200d🌫️ ok ''''```\"\"\"......!!!!!!?????? \n \n\n \t\t\n",
]


def test_tokens_are_the_same(llama_python: Path, tokenizer: Path, tmp_path: Path) -> None:
    """The pre-tokenizer's name, the merges and the special tokens: one text, one list of ids."""
    model = ours(V3 | {"vocab_size": VOCABULARY})
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    mine = load_tokenizer(tokenizer)
    _, found = run(llama_python, tmp_path / "m.gguf", [5], TEXTS)
    assert found["tokens"] == [mine.encode(text) for text in TEXTS]


@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v2"])
def test_published_tokenizers_give_the_same_tokens(name: str, llama_python: Path, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "tokenizers" / name
    mine = load_tokenizer(folder)
    model = ours(V3 | {"vocab_size": 129280, "num_hidden_layers": 1, "first_k_dense_replace": 0})
    export_gguf(model, folder, tmp_path / "m.gguf", "bf16")
    _, found = run(llama_python, tmp_path / "m.gguf", [5], TEXTS)
    assert found["tokens"] == [mine.encode(text) for text in TEXTS]


def test_command_on_a_bf16_folder(llama_python: Path, tokenizer: Path, tmp_path: Path) -> None:
    """A folder as training leaves it, exported by the command, within what bf16 rounds."""
    model = ours(V3 | {"vocab_size": VOCABULARY})
    centime.save(model, tmp_path / "m", tokenizer=tokenizer, dtype=torch.bfloat16)
    result = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--gguf", str(tmp_path / "m.gguf")])
    assert result.exit_code == 0, result.output
    ids = tokens(model.config)[0].tolist()
    logits, _ = run(llama_python, tmp_path / "m.gguf", ids)
    with torch.no_grad():
        exact = centime.load(tmp_path / "m", dtype=torch.float32)(torch.tensor([ids]))[0]
    difference = (logits - exact).norm() / exact.norm()
    assert float(difference) < 0.05
