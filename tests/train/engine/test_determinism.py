"""The same bits every time, on several threads too; torch's switches are given back after a run."""

from __future__ import annotations

import importlib

import pytest
import torch
from tests.train.made import CONFIG, SETTINGS, batch, trainer

from centime.train.engine.determinism import deterministic

WIDE = CONFIG.model_copy(update={"hidden_size": 128, "moe_intermediate_size": 64, "vocab_size": 512})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_threads_give_the_same_bits_every_time(dtype: torch.dtype, optimizer: str) -> None:
    """Sizes above torch's grain, so that both threads work; without the switch, as on a CPU it is not set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = []
        for _ in range(3):
            run = trainer(optimizer, dtype, micro_batch=16, config=WIDE)
            for step in range(2):
                run.step(batch(step, count=16, length=32, config=WIDE), SETTINGS)
            runs.append(run.engine.state())
    finally:
        torch.set_num_threads(threads)
    for other in runs[1:]:
        assert [name for name, tensor in runs[0].items() if not torch.equal(tensor, other[name])] == []


def test_switches_are_given_back() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        with deterministic(False):
            assert not torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    compiler = importlib.import_module("torch._inductor.config")
    with deterministic(True):
        assert compiler.deterministic
    assert not compiler.deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
