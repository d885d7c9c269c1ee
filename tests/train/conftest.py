"""A prepared corpus with a tokenizer and pairs, made once; the machine's peak, measured once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.train.made import write_recipe

from centime.data.shards.prepare import Preparation, prepare
from centime.data.sources import Sources
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.ledger.device import this_device
from centime.train.forecast import peak


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/, holdout/, tokenizer/ and pairs.jsonl, from some modules of the standard library."""
    folder = tmp_path_factory.mktemp("corpus")
    files = sorted(Path(json.__file__).parent.glob("*.py"))
    texts = [file.read_text("utf-8") for file in files]
    write_tokenizer(train_tokenizer(texts, 400), folder / "tok")
    prepare(Sources([str(file) for file in files]), folder / "tok", folder / "out", Preparation(holdout=0.4))
    out = folder / "out"
    pairs = [{"prompt": f"{a} + {b} =", "answer": str(a + b)} for a in range(6) for b in range(4)]
    (out / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return out


@pytest.fixture(scope="session")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the first run on this machine keeps of its peak, which takes most of a second to measure."""
    home = tmp_path_factory.mktemp("peaks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CENTIME_HOME", str(home))
        for dtype in (torch.float32, torch.bfloat16):
            peak.kept_peak(this_device("cpu"), torch.device("cpu"), dtype)
    return (home / peak.FILE).read_text()


@pytest.fixture(autouse=True)
def known_peak(centime_home: Path, peaks: str) -> None:
    """Every test's home has it, as a person's has from the second run on."""
    (centime_home / peak.FILE).write_text(peaks)


@pytest.fixture(scope="session")
def small(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe over the corpus."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), corpus)
