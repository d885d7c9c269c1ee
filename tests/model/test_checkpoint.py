"""A model and its folder: round trips, DeepSeek's layout, FP8, and writes that fail or are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.model.tiny import SHAPES, TINY, assert_same, build, rewrite, tiny
from torch import Tensor

import centime
from centime.catalogue.model_config import ModelConfig
from centime.catalogue.presets import preset
from centime.errors import UserError
from centime.model.names import copies, slots
from centime.ops.quantised import Quantised


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("shard_bytes", [10**9, 5_000])
def test_round_trip(name: str, shard_bytes: int, tmp_path: Path) -> None:
    model = build(SHAPES[name])
    centime.save(model, tmp_path / "out", shard_bytes=shard_bytes)
    back = centime.load(tmp_path / "out")
    assert_same(model, back)
    ids = torch.arange(12).view(1, 12)
    assert torch.equal(model(ids), back(ids))
    assert (tmp_path / "out" / "model.safetensors.index.json").exists() == (shard_bytes == 5_000)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"first_k_dense_replace": 0, "moe_layer_freq": 2}, "moe_layer_freq is 2"),
        (
            {"kv_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 10},
            "attention is plain.*there are experts",
        ),
        ({"scoring_func": "softmax"}, "softmax with topk_method noaux_tc"),
        ({"scoring_func": "softmax", "topk_method": "greedy"}, "softmax with norm_topk_prob"),
        ({"topk_method": "greedy"}, "sigmoid with topk_method greedy"),
    ],
)
def test_what_no_family_computes_is_not_written(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"No published family computes this model; .*{says}"):
        centime.save(build(tiny(**changes)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_bf16_keeps_the_routing_bias_in_fp32(tmp_path: Path) -> None:
    """A bias saved as zeros, or rounded, silently unbalances a model that was balanced."""
    model = build(TINY)
    model.layers[1].ffn.router.e_score_correction_bias.copy_(torch.tensor([0.001, 1.0001, -3.0]))
    centime.save(model, tmp_path / "out", dtype=torch.bfloat16)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert stored["model.layers.1.mlp.gate.e_score_correction_bias"].dtype == torch.float32
    assert stored["model.layers.1.mlp.gate.weight"].dtype == torch.bfloat16
    back = centime.load(tmp_path / "out")
    assert back.embed.weight.dtype == torch.bfloat16
    bias = back.layers[1].ffn.router.e_score_correction_bias
    assert torch.equal(bias, torch.tensor([0.001, 1.0001, -3.0]))
    assert torch.equal(back.embed.weight, model.embed.weight.bfloat16())
    assert centime.load(tmp_path / "out", dtype=torch.float32).embed.weight.dtype == torch.float32


def test_names_are_deepseek_s() -> None:
    names = {slot.disk for slot in (*slots(preset("deepseek-v3")), *copies(preset("deepseek-v3")))}
    for expected in (
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.3.mlp.experts.255.up_proj.weight",
        "model.layers.3.mlp.gate.e_score_correction_bias",
        "model.layers.60.self_attn.kv_a_proj_with_mqa.weight",
        "model.layers.61.eh_proj.weight",
        "model.layers.61.shared_head.head.weight",
        "model.layers.61.embed_tokens.weight",
        "model.layers.61.mlp.shared_experts.down_proj.weight",
    ):
        assert expected in names
    # 61 attention blocks of 9 tensors, 3 dense and 58 MoE layers, the MTP layer's 5 extra, embedding, norm, head
    moe = 256 * 3 + 3 + 2
    assert len(names) == 62 * 9 + 3 * 3 + 59 * moe + 6 + 3


@pytest.mark.parametrize("name", ["v3", "q_lora", "mtp", "tied", "dense baseline"])
def test_every_parameter_is_named_once(name: str) -> None:
    """Each element of the model's state belongs to exactly one tensor on disk."""
    state = build(SHAPES[name]).state_dict()
    seen = {key: torch.zeros(tensor.shape, dtype=torch.int) for key, tensor in state.items()}
    for slot in slots(SHAPES[name]):
        seen[slot.ours][slot.index] += 1
    assert all(bool((count == 1).all()) for count in seen.values())


def quantized(weight: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """DeepSeek's recipe: each block divided by amax / 448, the scale kept; edges padded with zeros for the maximum."""
    rows, columns = weight.shape
    scales = torch.empty(-(-rows // block), -(-columns // block))
    out = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * block, (i + 1) * block), slice(j * block, (j + 1) * block))
            scales[i, j] = weight[part].abs().max() / 448
            out[part] = (weight[part] / scales[i, j]).to(torch.float8_e4m3fn)
    return out, scales


def make_fp8(folder: Path, block: int) -> dict[str, Tensor]:
    """Rewrites a folder as DeepSeek publishes V3; returns what its weights mean, computed apart from centime."""
    tensors, meant = load_file(folder / "model.safetensors"), {}
    for name, tensor in list(tensors.items()):
        meant[name] = tensor
        if tensor.dim() == 2 and not any(kept in name for kept in ("embed", "head", "gate.weight", "eh_proj")):
            fp8, scales = quantized(tensor, block)
            tensors[name], tensors[f"{name}_scale_inv"] = fp8, scales
            spread = scales.repeat_interleave(block, 0)[: tensor.shape[0]].repeat_interleave(block, 1)
            meant[name] = fp8.float() * spread[:, : tensor.shape[1]]
    save_file(tensors, folder / "model.safetensors")
    raw = json.loads((folder / "config.json").read_text())
    raw["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [block, block]}
    (folder / "config.json").write_text(json.dumps(raw))
    return meant


@pytest.mark.parametrize("config", [tiny(num_nextn_predict_layers=1), preset("centime-d3", vocab_size=64)])
def test_fp8_stays_or_is_dequantised(config: ModelConfig, tmp_path: Path) -> None:
    """Blocks of 128 on 192, 24, 14 rows: none of them aligned."""
    model = build(config)
    centime.save(model, tmp_path / "m")
    meant = make_fp8(tmp_path / "m", 128)
    state = centime.load(tmp_path / "m", dtype=torch.float32, dense=True).state_dict()
    kept = centime.load(tmp_path / "m", dtype=torch.float32)
    for name, weight in kept.weights().items():
        assert isinstance(weight, Quantised) == (
            ("attention." in name and "norm" not in name) or (".ffn." in name and "router" not in name)
        ), name
        if isinstance(weight, Quantised):
            assert (weight.kind, weight.block) == ("fp8", 128)
            assert torch.equal(weight.dense(torch.float32), state[name]), name
    for slot in slots(config):
        assert torch.equal(state[slot.ours][slot.index], meant[slot.disk]), slot.disk
    original = model.state_dict()
    for name, tensor in state.items():  # e4m3 has 3 bits of mantissa: within 1/16 of the number, plus the smallest step
        assert torch.allclose(tensor, original[name], rtol=0.0625, atol=0.01), name


def test_fp8_small_blocks_and_faults(tmp_path: Path) -> None:
    centime.save(build(TINY), tmp_path / "m")
    meant = make_fp8(tmp_path / "m", 5)
    back = centime.load(tmp_path / "m", dtype=torch.float32, dense=True)
    assert torch.equal(back.layers[0].attention.out.weight, meant["model.layers.0.self_attn.o_proj.weight"])
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    name = "model.layers.0.self_attn.o_proj.weight_scale_inv"
    rewrite(tmp_path / "m", {**tensors, name: tensors[name][:1]})
    with pytest.raises(
        UserError, match=r"o_proj\.weight in .*model\.safetensors has scales \[1, 4\].*make them \[5, 4\]"
    ):
        centime.load(tmp_path / "m")
    rewrite(tmp_path / "m", {key: value for key, value in tensors.items() if key != name})
    with pytest.raises(UserError, match="has no scales"):
        centime.load(tmp_path / "m")
    raw = json.loads((tmp_path / "m" / "config.json").read_text())
    del raw["quantization_config"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(raw))
    rewrite(tmp_path / "m", tensors)
    with pytest.raises(UserError, match="no quantization_config"):
        centime.load(tmp_path / "m")


def test_numbers_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = build(TINY)
    model.layers[0].attention.out.weight.data[1, 2] = float("inf")
    with pytest.raises(UserError, match=r"layers\.0\.self_attn\.o_proj\.weight holds numbers that are not finite"):
        centime.save(model, tmp_path / "m")
    model.layers[0].attention.out.weight.data[1, 2] = 1e6
    with pytest.raises(UserError, match=r"o_proj\.weight holds numbers that are too large for float16"):
        centime.save(model, tmp_path / "m", dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []
    centime.save(model, tmp_path / "m")
    with pytest.raises(UserError, match=r"o_proj\.weight in .* too large for float16; load it as float32"):
        centime.load(tmp_path / "m", dtype=torch.float16)


def test_replacing_keeps_the_tokenizer_and_refuses_other_folders(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer" / "notes.txt").write_text("not a tokenizer file")
    centime.save(build(TINY), tmp_path / "m", tokenizer=tmp_path / "tokenizer", shard_bytes=4_000)
    assert not (tmp_path / "m" / "notes.txt").exists()
    second = build(TINY, seed=1)
    centime.save(second, tmp_path / "m")
    assert_same(centime.load(tmp_path / "m"), second)
    assert {entry.name for entry in (tmp_path / "m").iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", ".centime.json"
    }  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        centime.save(second, tmp_path / "n", tokenizer=tmp_path / "m" / "absent")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(UserError, match="not a model folder"):
        centime.save(second, tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def test_what_a_person_put_beside_a_model_stays(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    model, out = build(TINY), tmp_path / "m"
    for tokenizer in (tmp_path / "tokenizer", None, tmp_path / "tokenizer"):  # a tokenizer of ours may be replaced
        centime.save(model, out, tokenizer)
        (tmp_path / "tokenizer" / "tokenizer.json").write_text('{"another": 1}')
    (out / "README.md").write_text("mine")
    (out / "special_tokens_map.json").write_text("mine")
    centime.save(model, out, tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "special_tokens_map.json").write_text("another")
    with pytest.raises(UserError, match=r"holds special_tokens_map\.json, which centime did not write"):
        centime.save(model, out, tmp_path / "tokenizer")
    for name in ("adapter.safetensors", "drafts"):
        (out / name).mkdir()
        with pytest.raises(UserError, match=f"It holds {name}, which centime did not write"):
            centime.save(model, out)
        (out / name).rmdir()
    assert [(out / name).read_text() for name in ("README.md", "special_tokens_map.json")] == ["mine", "mine"]


def test_a_write_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(TINY)
    centime.save(first, tmp_path / "m")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        centime.save(build(TINY, seed=1), tmp_path / "m")
    monkeypatch.undo()
    assert_same(centime.load(tmp_path / "m"), first)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


# For every line that it reads, a writer that saves until it is killed: its process, turns, and an end.
SAVER = """
import os, sys, torch, centime
from centime.catalogue.presets import preset
from centime.model import Transformer
model, turn = Transformer(preset("centime-d2", vocab_size=64)), 0
while sys.stdin.readline() and (writer := os.fork()):
    os.waitpid(writer, 0)
    print("ended", flush=True)
print(os.getpid(), flush=True)
while True:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(turn)
    centime.save(model, sys.argv[1], shard_bytes=200_000)
    print(turn, flush=True)
    turn += 1
"""


@pytest.mark.slow
def test_kill_at_random_instants_leaves_a_whole_model(tmp_path: Path) -> None:
    """Whatever instant the writer dies at, the folder is one complete model, the last announced or the one after."""
    chance = random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path / "m")], text=True, **pipes)
    assert parent.stdin is not None
    assert parent.stdout is not None
    for _ in range(6):
        print(file=parent.stdin, flush=True)
        writer, first = int(parent.stdout.readline()), parent.stdout.readline()
        time.sleep(chance.random() * 0.4)
        os.kill(writer, signal.SIGKILL)
        announced = int([first, *iter(parent.stdout.readline, "ended\n")][-1])
        values = {float(tensor.min()) for tensor in centime.load(tmp_path / "m").state_dict().values()}
        values |= {float(tensor.max()) for tensor in centime.load(tmp_path / "m").state_dict().values()}
        assert values in ({float(announced)}, {float(announced + 1)})
    parent.kill()
    parent.communicate()
