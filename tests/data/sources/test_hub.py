"""A dataset of the Hub through the real client, against a local server that speaks the Hub's API.

Each reads in a process of its own, for the client takes its settings from the environment when it is imported.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.sources.hub_server import COMMIT, Hub, serve

from centime.data.shards import ShardSet
from centime.data.sources.hub import _training_files, dataset_files
from centime.data.tokenizers import Tokenizer
from centime.errors import UserError

TEXTS = [f"Document {number} of the Hub. " * (1 + number % 7) for number in range(300)]


def parquet(texts: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), sink, row_group_size=100)
    return sink.getvalue()


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    datasets = {
        "someone/stories": {
            "README.md": b"# Stories",
            "data/train-00000-of-00002.parquet": parquet(TEXTS[:200]),
            "data/train-00001-of-00002.parquet": parquet(TEXTS[200:]),
            "data/test-00000-of-00001.parquet": parquet(["held back by its maker"]),
            "extra/more.jsonl.gz": gzip.compress(lines(["extra one", "extra two"])),
        },
        "someone/c4": {
            "dataset_infos.json": b"{}",
            "en/c4-train.00000-of-00002.json.gz": gzip.compress(lines(["web one", "web two"])),
            "en/c4-train.00001-of-00002.json.gz": gzip.compress(json.dumps([{"text": "web three"}]).encode()),
            "en/c4-validation.00000-of-00001.json.gz": gzip.compress(lines(["held back"])),
        },
        "someone/pictures": {"a.png": b"x"},
        "gated/secret": {"train.parquet": b""},
    }
    with serve(Hub(datasets)) as hub:
        yield hub


def prepare(hub: Hub, spec: str, tokenizer: Tokenizer, out: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(out.parent / "hf")}
    command = [sys.executable, "-m", "centime", "data", "prepare", spec, "--tokenizer", str(tokenizer.folder)]
    command += ["--out", str(out), "--workers", "1", "--holdout", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def documents(out: Path, tokenizer: Tokenizer) -> list[str]:
    shards = ShardSet(out)
    return [tokenizer.decode(shards.document(number)[1:-1]) for number in range(shards.index.documents)]


def test_a_dataset_is_streamed_by_ranges(hub: Hub, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """By its bare id: the training split's parquet files, at one commit."""
    hub.failures = 1  # a busy moment is survived
    done = prepare(hub, "someone/stories", tokenizer, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert documents(tmp_path / "out", tokenizer) == TEXTS
    assert (
        f"someone/stories at {COMMIT[:12]}: 2 of 5 files (data/train-00000-of-00002.parquet and 1 more)" in done.stdout
    )
    downloads = [(path, ranged) for method, path, ranged in hub.requests if "/resolve/" in path and method == "GET"]
    assert downloads
    assert all(f"/resolve/{COMMIT}/data/train-" in path and ranged for path, ranged in downloads)
    assert any(path.startswith("/api/datasets/someone/stories") for _, path, _ in hub.requests)
    assert any("/tree/" in path for _, path, _ in hub.requests)


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (["data/Train-0.parquet", "data/test-0.parquet", "train.jsonl"], ["data/Train-0.parquet"]),
        (["a.JSONL.gz", "b.jsonl.zst", "b.txt"], ["a.JSONL.gz"]),
        (["a.jsonl", "trained.jsonl", "retrain.jsonl"], ["a.jsonl", "trained.jsonl", "retrain.jsonl"]),
        (["en/dataset_infos.json", "config.json", "a.json.xz"], ["a.json.xz"]),
        (["a.png"], []),
    ],
)
def test_of_the_best_form_the_training_split_is_chosen(paths: list[str], chosen: list[str]) -> None:
    assert _training_files(paths) == chosen


def test_files_by_glob_and_revision(hub: Hub, tokenizer: Tokenizer, tmp_path: Path) -> None:
    done = prepare(hub, "hf://datasets/someone/stories@main/extra/*.gz", tokenizer, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert documents(tmp_path / "out", tokenizer) == ["extra one", "extra two"]


def test_a_dataset_of_compressed_json(hub: Hub, tokenizer: Tokenizer, tmp_path: Path) -> None:
    done = prepare(hub, "someone/c4", tokenizer, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert documents(tmp_path / "out", tokenizer) == ["web one", "web two", "web three"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "someone/storeis",
            "is neither a file or folder here nor a dataset that the Hub shows you. Check the spelling",
        ),
        ("gated/secret", "is gated; expected a token with access"),
        ("someone/pictures", "has no parquet, .jsonl, .json or .txt file; its files are: a.png"),
        ("hf://datasets/someone/stories@v9", "has no revision 'v9'"),
        ("hf://datasets/someone/stories/*.csv", "has no file like '*.csv'; its files are: README.md"),
        ("hf://datasets/stories", "is not a Hub dataset; expected hf://datasets/owner/name"),
    ],
)
@pytest.mark.slow
def test_refusals(hub: Hub, tokenizer: Tokenizer, tmp_path: Path, spec: str, message: str) -> None:
    done = prepare(hub, spec, tokenizer, tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("centime: ")
    assert done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "hf") == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        *((status, "nor a dataset that the Hub shows you") for status in (401, 403, 404)),
        *(
            (status, rf"The Hub at http://127\.0\.0\.1:\d+ did not give someone/stories \(.*{status}")
            for status in (400, 402, 418, 500)
        ),
    ],
)
def test_a_hub_that_only_gives_a_status(hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int, message: str) -> None:
    """As a mirror or a proxy on the way may: whether it is the person's to mend, the number tells."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub.listing_status = status
    with pytest.raises(UserError, match=message):
        dataset_files("someone/stories")


def test_a_download_that_fails_leaves_nothing(hub: Hub, tokenizer: Tokenizer, tmp_path: Path) -> None:
    hub.refuses = True
    done = prepare(hub, "hf://datasets/someone/stories/extra/*", tokenizer, tmp_path / "out")
    assert done.returncode == 2
    assert "did not give extra/more.jsonl.gz of someone/stories (" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_no_server_at_all(tokenizer: Tokenizer, tmp_path: Path) -> None:
    done = prepare(Hub({}, endpoint="http://127.0.0.1:9"), "someone/stories", tokenizer, tmp_path / "out")
    assert done.returncode == 2
    assert "The Hub at http://127.0.0.1:9 did not give someone/stories (" in done.stderr
    assert "refused)" in done.stderr
    assert "If that is a path here, check its spelling; else check the network" in done.stderr
