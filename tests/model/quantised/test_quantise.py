"""A folder quantised and read back: what is stored is what `ops.quantised` makes of each matrix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.model.tiny import build, rewrite, tiny
from tests.peers.models import grouped, ours
from typer.testing import CliRunner

import centime
from centime.cli import app
from centime.errors import UserError
from centime.model.packed import pack_weights
from centime.model.quantised.quantise import Formats, quantise_folder
from centime.ops.quantised import KINDS, Quantised, quantise

# every width is a multiple of 32; some matrices are larger than a block of 128, some smaller
SHAPE = tiny(
    hidden_size=64,
    kv_lora_rank=32,
    q_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=16,
    v_head_dim=32,
    intermediate_size=160,
    moe_intermediate_size=32,
    num_nextn_predict_layers=1,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return centime.save(build(SHAPE), tmp_path_factory.mktemp("source") / "m", dtype=torch.bfloat16, shard_bytes=99_999)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_folder_holds_its_matrices_quantised(kind: str, source: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    assert quantise_folder(source, tmp_path / "q", Formats(kind), lambda *done: heard.append(done)) == []
    assert heard == sorted(heard)
    assert heard[-1][0] == heard[-1][1]
    plain, back = centime.load(source), centime.load(tmp_path / "q")
    theirs = back.weights()
    for name, weight in plain.weights().items():
        matrix = weight.dim() > 1 and name not in ("embed.weight", "head.weight") and "router" not in name
        assert isinstance(theirs[name], Quantised) == matrix, name
        if matrix:
            made = quantise(weight, kind)
            assert torch.equal(theirs[name].codes.view(torch.uint8), made.codes.view(torch.uint8)), name
            assert torch.equal(theirs[name].scales, made.scales), name
        else:
            assert torch.equal(theirs[name], weight), name
    ids = torch.arange(12)[None]
    expected = centime.load(tmp_path / "q", dense=True)(ids)
    assert torch.allclose(back(ids), expected, atol=2e-2 * float(expected.abs().max()))
    off = (pack_weights(back)(ids) - expected).float().norm(dim=-1) / expected.float().norm(dim=-1)
    assert float(off.median()) < 4e-2  # one expert chosen otherwise moves a token further


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_products_are_those_of_the_numbers_that_codes_stand_for(kind: str, source: Path, tmp_path: Path) -> None:
    quantise_folder(source, tmp_path / "q", Formats(kind, head=kind))
    back = centime.load(tmp_path / "q", dtype=torch.float32)
    dense = centime.load(tmp_path / "q", dtype=torch.float32, dense=True)
    ids = torch.arange(12)[None]
    assert torch.allclose(back(ids), dense(ids), atol=1e-5)
    assert back.dtype == torch.float32
    with torch.enable_grad():
        assert torch.allclose(back(ids), dense(ids), atol=1e-5)


def test_widths_by_what_a_matrix_is_for(source: Path, tmp_path: Path) -> None:
    quantise_folder(source, tmp_path / "q", Formats("int8", experts="int4", attention="bf16", head="fp8"))
    kinds = {name: getattr(weight, "kind", None) for name, weight in centime.load(tmp_path / "q").weights().items()}
    assert {kind for name, kind in kinds.items() if ".experts." in name} == {"int4"}
    assert {kind for name, kind in kinds.items() if ".attention." in name} == {None}
    assert kinds["layers.0.ffn.down"] == kinds["layers.1.ffn.shared.down"] == kinds["mtp.0.project.weight"] == "int8"
    assert (kinds["head.weight"], kinds["embed.weight"]) == ("fp8", None)
    said = json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]
    assert said["format"] == "mixed-precision"
    assert r"re:model\.layers\.[0-9]+\.mlp\.gate$" in said["ignore"]


def test_saving_keeps_what_is_quantised(source: Path, tmp_path: Path) -> None:
    quantise_folder(source, tmp_path / "q", Formats("int4", experts="int8", attention="fp8"))
    centime.save(centime.load(tmp_path / "q"), tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "q" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_quantised_folder_is_quantised_anew(source: Path, tmp_path: Path) -> None:
    """As it is where the format is the same, through the numbers it stands for where it is another."""
    quantise_folder(source, tmp_path / "q", Formats("fp8"))
    quantise_folder(tmp_path / "q", tmp_path / "same", Formats("fp8"))
    assert (tmp_path / "q" / "model.safetensors").read_bytes() == (tmp_path / "same" / "model.safetensors").read_bytes()
    quantise_folder(tmp_path / "q", tmp_path / "other", Formats("int8"))
    through = centime.load(tmp_path / "q", dtype=torch.float32, dense=True).layers[0].ffn.down
    assert torch.equal(centime.load(tmp_path / "other").layers[0].ffn.down.codes, quantise(through, "int8").codes)


def test_inputs_of_no_whole_groups_stay_plain(tmp_path: Path) -> None:
    centime.save(build(tiny(hidden_size=64)), tmp_path / "m")
    notes = quantise_folder(tmp_path / "m", tmp_path / "q", Formats("int4"))
    assert any("experts.<n>.down_proj stays bf16: its 14 inputs" in note for note in notes)
    back = centime.load(tmp_path / "q")
    assert not isinstance(back.layers[1].ffn.experts.down, Quantised)
    assert isinstance(back.layers[1].ffn.experts.gate_up, Quantised)


def test_experts_that_lie_in_one_tensor(tmp_path: Path) -> None:
    """As transformers writes them when asked not to split."""
    centime.save(build(tiny(hidden_size=64, moe_intermediate_size=32)), tmp_path / "m")
    quantise_folder(tmp_path / "m", tmp_path / "one by one", Formats("int8"))
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    for layer in (1, 2):
        experts = f"model.layers.{layer}.mlp.experts"
        parts = {
            part: torch.stack([tensors.pop(f"{experts}.{e}.{part}_proj.weight") for e in range(3)])
            for part in ("gate", "up", "down")
        }
        tensors[f"{experts}.gate_up_proj"] = torch.cat((parts["gate"], parts["up"]), 1)
        tensors[f"{experts}.down_proj"] = parts["down"]
    rewrite(tmp_path / "m", tensors)
    quantise_folder(tmp_path / "m", tmp_path / "stacked", Formats("int8"))
    first, second = (tmp_path / name / "model.safetensors" for name in ("one by one", "stacked"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_model_leaves_nothing(value: float, tmp_path: Path) -> None:
    centime.save(build(SHAPE), tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["model.layers.1.mlp.experts.1.up_proj.weight"][3, 4] = value
    rewrite(tmp_path / "m", tensors)
    with pytest.raises(UserError, match=r"experts\.1\.up_proj.* not finite"):
        quantise_folder(tmp_path / "m", tmp_path / "q", Formats("int8"))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_command(source: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["quantise", str(source), str(tmp_path / "q"), "--format", "int4", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["bytes"] == (tmp_path / "q" / "model.safetensors").stat().st_size
    shown = json.loads(CliRunner().invoke(app, ["model", "show", str(tmp_path / "q"), "--json"]).stdout)
    assert shown["stored_bytes"] == (tmp_path / "q" / "model.safetensors").stat().st_size
    wrong = CliRunner().invoke(app, ["quantise", str(source), str(tmp_path / "q"), "--format", "int5"])
    assert "'int5' is no format of weights; choose one of int8, int4, fp8, bf16" in str(wrong.exception)
    same = CliRunner().invoke(app, ["quantise", str(source), str(source), "--format", "int8"])
    assert isinstance(same.exception, UserError)


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
def test_of_plain_attention_matrices_alone_are_quantised(kind: str, tmp_path: Path) -> None:
    """Biases and norms of heads stay as they are, and the model answers nearly the same."""
    model = ours(grouped(4, 2, 16, hidden_size=64, intermediate_size=96, qk_norm=True, qkv_bias=True, out_bias=True))
    centime.save(model, tmp_path / "m")
    quantise_folder(tmp_path / "m", tmp_path / "q", Formats(kind))
    back = centime.load(tmp_path / "q", dtype=torch.float32)
    kept = [name for name, weight in model.named_parameters() if weight.dim() == 1 and "attention" in name]
    assert len(kept) == 2 * (4 + 2 + 1)  # biases, norms of heads, the norm before
    for name in kept:
        assert torch.equal(back.get_parameter(name), model.get_parameter(name).bfloat16().float()), name
    assert isinstance(back.layers[0].attention.q.weight, Quantised)
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert (back(ids) - model(ids)).std() < (0.5 if kind == "int4" else 0.1) * model(ids).std()
