"""The contestant that serves: a process that answers as `benchmarks/serve.py` asks it, on a model of any vocabulary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.small import small_config, small_tokenizer

from centime.model import Transformer
from centime.model.checkpoint import save

CONTESTANT = Path(__file__).resolve().parents[2] / "benchmarks" / "serving" / "contestant.py"


@pytest.mark.slow
def test_ours_answers_on_a_model_with_more_rows_than_its_tokenizer_has_ids(tmp_path: Path) -> None:
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    model = Transformer(small_config(10 * tokenizer.vocab_size))
    model.init_weights(0)
    save(model, tmp_path / "model", tokenizer=tokenizer.folder)
    asked = json.dumps({"prompts": 2, "length": 8, "new": 3})
    done = subprocess.run(
        [sys.executable, str(CONTESTANT), "centime", str(tmp_path / "model")],
        input=f"{asked}\n",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready == {"ready": True}
    assert answer["first"] > 0
    assert answer["rest"] > 0
