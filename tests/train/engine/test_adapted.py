"""The engine of adapters: what it holds is what is planned, and what is frozen costs its own size alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.made import CONFIG

import centime
from centime.model import Transformer
from centime.ops.quantised import Quantised
from centime.recipe import Lora, Optimizer
from centime.train.engine import AdaptedDevice, frozen_model
from centime.train.forecast.memory import state_bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = Transformer(CONFIG.model_copy(update={"hidden_size": 64, "intermediate_size": 256, "vocab_size": 64}))
    model.init_weights(0)
    return centime.save(model, tmp_path_factory.mktemp("frozen") / "m")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("base", [None, "int8", "int4"])
def test_what_is_held_is_what_was_planned(dtype: torch.dtype, base: str | None, folder: Path) -> None:
    lora = Lora.model_validate({"rank": 32, "targets": ["all-linear", "experts", "router"], "base": base})
    model = frozen_model(folder, lora, dtype, torch.device("cpu"))
    engine = AdaptedDevice(model, lora, 0, Optimizer(), dtype)
    flat = engine.flat
    held = flat.master.nbytes + flat.grad.nbytes + (0 if flat.compute is flat.master else flat.compute.nbytes)
    held += 2 * flat.master.nbytes  # AdamW's moments, made in the first step
    frozen = [p for p in model.parameters() if not p.requires_grad]
    held += sum(p.stored_bytes if isinstance(p, Quantised) else p.nbytes for p in frozen)
    assert state_bytes(model.config, dtype, False, lora=lora) == pytest.approx(held, rel=0.1)
    assert all(name.startswith("weight/") and name.endswith((".a", ".b")) for name in engine.state())
