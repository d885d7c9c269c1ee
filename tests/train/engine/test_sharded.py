"""FSDP2 over gloo processes: the same losses as one process, and checkpoints that fit any number of ranks."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.forked import FORKS, centime, python_process, write_relay
from tests.train.made import losses, metrics, write_recipe

import centime as package
from centime.ledger import Book
from centime.train.run.loop import part_of
from centime.train.stages.batches import own_share

FP32 = ("--set", "run.precision=fp32", "--price", "$1/h")


@pytest.fixture(scope="module")
def recipe(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"), corpus)


@pytest.fixture(scope="module")
def alone(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    done = centime("train", recipe, "--out", folder, *FP32)
    assert done.returncode == 0, done.stderr
    return folder


def torchrun(folder: Path, ranks: int, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """`torchrun --nproc-per-node=RANKS -m centime ...`, begun; where processes fork, `folder` keeps what ranks run."""
    rank = ["-m", "centime"]
    if FORKS:
        rank = ["--no-python", str(folder / "centime")]
        write_relay(folder / "centime")
    launch = (f"--nproc-per-node={ranks}", "--standalone", *rank, *map(str, arguments))
    return python_process("torch.distributed.run", *launch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def together(ranks: int, *arguments: str | Path) -> None:
    """`centime ...` in so many processes, with the environment that torchrun gives them, to a good end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with ThreadPoolExecutor(ranks) as several:
        run = [
            several.submit(centime, *arguments, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in range(ranks)
        ]
    for rank in run:
        assert rank.result().returncode == 0, rank.result().stderr


def close(folder: Path, other: Path, rel: float = 1e-5) -> None:
    found, expected = losses(folder), losses(other)
    assert [x[:2] for x in found] == [x[:2] for x in expected]
    assert [x[2] for x in found] == pytest.approx([x[2] for x in expected], rel=rel)


@pytest.mark.parametrize(("count", "world"), [(7, 2), (1, 4), (8, 3), (0, 2)])
def test_shares_cover_all_rows_in_order(count: int, world: int) -> None:
    shares = [range(*own_share(count, rank, world)) for rank in range(world)]
    assert [row for share in shares for row in share] == list(range(count))


@given(st.integers(0, 10**9), st.one_of(st.sampled_from([1, 2, 8, 64]), st.integers(1, 4096)))
def test_ranks_book_all_tokens_of_a_step(tokens: int, world: int) -> None:
    parts = [part_of(tokens, rank, world) for rank in range(world)]
    assert sum(parts) == tokens
    assert max(parts) - min(parts) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.long), "muon"])
def test_two_ranks_have_the_losses_of_one(optimizer: str, recipe: Path, alone: Path, tmp_path: Path) -> None:
    """All three stages, uneven batches (the ramp passes through odd ones), loads and bias counted over both."""
    chosen = ("--set", f"optimizer.name={optimizer}", *FP32)
    if optimizer == "muon":
        alone = tmp_path / "alone"
        assert centime("train", recipe, "--out", alone, *chosen).returncode == 0
    folder = tmp_path / "run"
    together(2, "train", recipe, "--out", folder, *chosen)
    close(folder, alone, 1e-4 if optimizer == "muon" else 1e-5)
    loads = [[line["expert_load"] for line in metrics(path) if "expert_load" in line] for path in (folder, alone)]
    assert loads[0][:3] == loads[1][:3]
    ours, theirs = (package.load(path / "model").state_dict() for path in (folder, alone))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).abs().max() < 1e-3, name
    assert any(tensor.abs().max() > 0 for name, tensor in ours.items() if "correction_bias" in name)
    with Book() as book:
        tokens = sum(interval.tokens for interval in book.intervals() if interval.run_path == str(folder))
    assert tokens == metrics(folder)[-1]["tokens"]  # to the last one, with odd steps of sft among them


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(recipe: Path, alone: Path, tmp_path: Path) -> None:
    """Two ranks, stopped by torchrun's SIGTERM inside pre-training; then one process; the same order of data."""
    folder = tmp_path / "run"
    process = torchrun(tmp_path, 2, "train", recipe, "--out", folder, *FP32, "--set", "run.checkpoint_every=1")
    while not list(folder.glob("checkpoints/step-*")) and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    process.wait(timeout=120)
    stopped = json.loads((max(folder.glob("checkpoints/step-*")) / "state.json").read_text())
    assert 0 < stopped["global_step"] < len([line for line in metrics(alone) if "loss" in line])
    done = centime("train", recipe, "--out", folder, "--resume", *FP32)
    assert done.returncode == 0, done.stderr
    close(folder, alone)
