"""What cannot fit is refused before it is allocated, with the knob to turn."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.train.made import CONFIG, RECIPE, batch, model

from centime import recipe as recipes
from centime.catalogue.model_config import ModelConfig
from centime.catalogue.presets import preset
from centime.errors import UserError
from centime.plan.counts import count
from centime.train.engine import LossShare, SingleDevice
from centime.train.engine.loss import MicroBatch, Objective
from centime.train.forecast import memory
from centime.train.forecast.memory import (
    activation_bytes,
    default_micro_batch,
    require_disk,
    require_fit,
    require_rows,
    state_bytes,
)

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


WIDE = {
    "narrow": {},
    "experts": {"moe_intermediate_size": 600, "n_shared_experts": 0},
    "shared experts": {"moe_intermediate_size": 300, "n_shared_experts": 4, "num_experts_per_tok": 1},
    "dense": {"intermediate_size": 2400, "first_k_dense_replace": 2},
    "heads": {"num_attention_heads": 24, "qk_nope_head_dim": 40, "v_head_dim": 40},
    "latents": {"kv_lora_rank": 1200, "q_lora_rank": 1200},
    "model": {"hidden_size": 600},
    "deep": {"num_hidden_layers": 9},
}


@pytest.mark.parametrize("name", WIDE)
def test_activations_are_those_that_the_backward_pass_holds(name: str) -> None:
    """Whichever part is the large one: what is counted from the shapes is what autograd keeps.

    Within a factor that OVERHEAD makes up for: least for latents, which are kept before and after their norm.
    """
    config = ModelConfig.model_validate(CONFIG.model_dump() | WIDE[name])
    net, made = model(config=config), batch(count=4, length=64, config=config)
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    held: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # as it is held, no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = Objective(net)(MicroBatch(made.rows), LossShare(made.loss_tokens, 4, 0.3, 1e-2)).total
    found = sum(storage.nbytes() for place, storage in held.items() if place not in weights)
    loss.backward()
    heads = 2 * 256 * config.vocab_size * 4
    counted = activation_bytes(config, 64, 4, torch.float32, False) - heads
    assert 0.3 < counted / memory.OVERHEAD / found < 1.5
    assert activation_bytes(config, 64, 4, torch.bfloat16, False) - heads == pytest.approx(counted / 2, rel=1e-6)
    layers = config.num_hidden_layers + config.num_nextn_predict_layers
    recomputed = activation_bytes(config, 64, 4, torch.float32, True) - heads
    assert counted / layers < recomputed < counted


def test_a_default_micro_batch_is_of_four_thousand_tokens_or_the_whole_step() -> None:
    def default(length: int, rows: int) -> int:
        return default_micro_batch(CONFIG, length, rows, CPU, torch.float32, False)

    assert [default(512, 100), default(512, 8), default(512, 7), default(4096, 9), default(9999, 9)] == [8, 8, 7, 1, 1]


def test_a_model_that_fits_to_the_byte_is_not_called_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sequence is; one byte less, and the model is."""
    state = state_bytes(CONFIG, torch.float32, False)
    exact = next(free for free in range(int(state / memory.RESERVE), 2 * state) if int(memory.RESERVE * free) == state)
    with pytest.raises(UserError, match="Even one sequence of 512 tokens is too long: set run"):
        fit(exact, 1, monkeypatch)
    with pytest.raises(UserError, match="choose a smaller model"):
        fit(exact - 2, 1, monkeypatch)


def test_a_machine_with_nothing_free_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, found in ((0, 0), (-5, 0), (1, 1)):
        monkeypatch.setattr(memory.psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free))
        assert memory.available_bytes(CPU) == found


def test_a_gpu_is_asked_for_what_is_free_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, free = torch.device("cuda"), 5 << 30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 << 30))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    assert memory.available_bytes(gpu) == free
    assert memory.peak_bytes(gpu) == 7
    one = activation_bytes(CONFIG, 512, 1, torch.bfloat16, False)
    fits = min(65_536 // 512, int(0.5 * free / one))
    assert default_micro_batch(CONFIG, 512, 10**6, gpu, torch.bfloat16, False) == fits > 8


@pytest.mark.parametrize("world", [1, 2])
def test_a_steps_rows_are_refused_where_they_do_not_fit(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times eight bytes a token, of every rank on this host."""
    need = 3 * 8 * 1000 * 64 * world
    monkeypatch.setattr(memory, "available_bytes", lambda device: need / memory.RESERVE + 1)
    require_rows(1000, 64, world)
    monkeypatch.setattr(memory, "available_bytes", lambda device: need / memory.RESERVE - 2)
    with pytest.raises(UserError, match=r"1,000 sequences of 64 tokens take .* lower the stage's batch_size"):
        require_rows(1000, 64, world)


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one checkpoint more than are kept: master weights and both moments, and not a byte less."""
    require_disk(tmp_path, CONFIG, 2)
    parameters = count(CONFIG).total_params + count(CONFIG).mtp_params
    for free, fits in ((3 * 12 * parameters, True), (3 * 12 * parameters - 1, False)):
        monkeypatch.setattr(memory.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with contextlib.nullcontext() if fits else pytest.raises(UserError, match="checkpoints take"):
            require_disk(tmp_path, CONFIG, 2)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"checkpoints take 2\d\.\d\d TiB: free some space, lower run\.keep"):
        require_disk(tmp_path, preset("deepseek-v3"), 2)
