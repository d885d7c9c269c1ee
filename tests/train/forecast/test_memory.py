"""What cannot fit is refused before it is allocated, with the knob to turn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.made import CONFIG, RECIPE, model

from centime import recipe as recipes
from centime.catalogue.presets import preset
from centime.errors import UserError
from centime.plan.counts import count
from centime.train.engine import SingleDevice
from centime.train.forecast import memory
from centime.train.forecast.memory import activation_bytes, require_disk, require_fit, state_bytes

CPU = torch.device("cpu")
RECIPE_TREE = recipes.parse(RECIPE.format(corpus="x"))


def fit(free: int, micro_batch: int = 8, monkeypatch: pytest.MonkeyPatch | None = None, **run: object) -> int:
    assert monkeypatch is not None
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    tree = RECIPE_TREE.model_copy(update={"run": RECIPE_TREE.run.model_copy(update=run)})
    return require_fit(tree, CONFIG, 512, micro_batch, CPU, torch.float32, 1)


def test_deepseek_v3_is_refused_here() -> None:
    with pytest.raises(UserError, match=r"needs 1\d\.\d\d TiB.*choose a smaller model"):
        require_fit(RECIPE_TREE, preset("deepseek-v3"), 4096, 1, CPU, torch.bfloat16, 1)


def test_the_knob_is_named_and_turning_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_bytes(CONFIG, torch.float32, False)
    one = activation_bytes(CONFIG, 512, 1, torch.float32, False)
    assert fit(1 << 40, monkeypatch=monkeypatch) > state
    with pytest.raises(UserError, match="choose a smaller model"):
        fit(state // 2, monkeypatch=monkeypatch)
    with pytest.raises(UserError, match=r"set run\.micro_batch = (\d)") as refused:
        fit(int((state + 4 * one) / 0.95), monkeypatch=monkeypatch)
    advised = int(str(refused.value).rpartition("= ")[2].rstrip("."))
    assert fit(int((state + 4 * one) / 0.95), advised, monkeypatch=monkeypatch) > 0
    with pytest.raises(UserError, match="activation_checkpointing = true"):
        fit(int((state + 0.9 * one) / 0.95), monkeypatch=monkeypatch)
    assert fit(int((state + 0.9 * one) / 0.95), 1, monkeypatch=monkeypatch, activation_checkpointing=True) > 0


def test_state_bytes_are_those_of_the_buffers() -> None:
    for dtype, name in ((torch.float32, "adamw"), (torch.bfloat16, "adamw"), (torch.bfloat16, "muon")):
        net = model()
        engine = SingleDevice(net, recipes.Optimizer(name=name), dtype)
        flat = engine.flat
        held = flat.master.nbytes + flat.grad.nbytes + (flat.compute.nbytes if flat.compute is not flat.master else 0)
        moments = 8 if name == "adamw" else 4
        parameters = count(CONFIG).total_params + count(CONFIG).mtp_params
        assert state_bytes(CONFIG, dtype, name == "muon") == pytest.approx(held + moments * parameters, rel=0.15)


def test_disk(tmp_path: Path) -> None:
    require_disk(tmp_path, CONFIG, 2)
    with pytest.raises(UserError, match=r"checkpoints take 2\d\.\d\d TiB: free some space, lower run\.keep"):
        require_disk(tmp_path, preset("deepseek-v3"), 2)
