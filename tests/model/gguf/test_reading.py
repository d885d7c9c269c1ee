"""GGUF files of 8 and 4 bits, out and in: the gguf package reads what we wrote, we read what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.model.gguf.test_export import YARN, Read, build, tokenizer
from tests.model.tiny import assert_same
from typer.testing import CliRunner

import centime
from centime.catalogue.presets import preset
from centime.cli import app
from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.model.gguf.blocks import from_blocks, to_blocks
from centime.model.gguf.export import export_gguf
from centime.model.quantised.quantise import Formats, quantise_folder
from centime.ops.quantised import Quantised, quantise
from centime.plan.counts.baseline import dense_baseline

gguf = pytest.importorskip("gguf")
__all__ = ["tokenizer"]  # the fixture

WHOLE = {"kv_lora_rank": 64, "q_lora_rank": 32}
MODELS: dict[str, dict[str, Any]] = {
    "V3": WHOLE,
    "V3, plain query, YaRN": {"rope_scaling": YARN, "rope_interleave": False},
    "V2": {"scoring_func": "softmax", "topk_method": "greedy", "norm_topk_prob": False},
    "groups": {"n_group": 4, "topk_group": 2},
    "dense MLA, tied": {"n_routed_experts": None, "tie_word_embeddings": True},
}


@pytest.mark.parametrize(("kind", "stored"), [("int8", "Q8_0"), ("int4", "Q4_0")])
def test_blocks_are_those_of_the_gguf_package(kind: str, stored: str) -> None:
    raw = gguf.GGMLQuantizationType[stored]
    weight = torch.randn(3, 5, 96, generator=torch.Generator().manual_seed(0))
    matrix = quantise(weight, kind)
    theirs = gguf.quants.dequantize(to_blocks(matrix).numpy(), raw)
    assert np.array_equal(theirs, matrix.dense(torch.float32).numpy())
    made = torch.from_numpy(gguf.quants.quantize(weight.numpy(), raw))
    read = from_blocks(made, kind)
    assert np.array_equal(read.dense(torch.float32).numpy(), gguf.quants.dequantize(made.numpy(), raw))
    assert torch.equal(to_blocks(read), made)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_plain_is_read_as_it_was(name: str, tokenizer: Path, tmp_path: Path) -> None:
    model = build(**MODELS[name])
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    back = centime.load(tmp_path / "m.gguf", dtype=torch.float32)
    if model.config.rope_interleave:
        assert_same(back, model)
    ids = torch.arange(20)[None]
    assert torch.allclose(back(ids), model(ids), atol=1e-4)


def test_a_dense_model(tokenizer: Path, tmp_path: Path) -> None:
    model = Transformer(dense_baseline(preset("centime-d2", vocab_size=420)))
    model.init_weights(1)
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    assert_same(centime.load(tmp_path / "m.gguf", dtype=torch.float32), model)
    export_gguf(model, tokenizer, tmp_path / "q.gguf", "q8_0")
    back, q = centime.load(tmp_path / "q.gguf"), model.layers[1].attention.q.weight
    assert torch.equal(back.layers[1].attention.q.weight.dense(torch.float32), quantise(q, "int8").dense(torch.float32))


@pytest.mark.parametrize(("dtype", "kind"), [("q8_0", "int8"), ("q4_0", "int4")])
@pytest.mark.parametrize("family", ["V3", "V2"])
@torch.no_grad()
def test_codes_go_out_and_come_back(dtype: str, kind: str, family: str, tokenizer: Path, tmp_path: Path) -> None:
    model = build(**MODELS[family])
    export_gguf(model, tokenizer, tmp_path / "m.gguf", dtype)
    read, back = Read(tmp_path / "m.gguf"), centime.load(tmp_path / "m.gguf")
    ours, theirs = model.weights(), back.weights()
    for name, weight in theirs.items():
        if name.endswith(("gate_up", "down", "out.weight", "kv_down.weight", "q.weight", "q_up.weight")):
            assert isinstance(weight, Quantised), name
            made = quantise(ours[name], kind)
            assert torch.equal(weight.codes, made.codes), name
            assert torch.equal(weight.scales, made.scales), name
    experts = read.tensors["blk.1.ffn_gate_exps.weight"]
    assert torch.equal(experts, theirs["layers.1.ffn.experts.gate_up"].dense(torch.float32)[:, 0])
    head = theirs["head.weight"]
    assert head.kind == "int8"
    assert torch.equal(read.tensors["output.weight"], head.dense(torch.float32))
    assert torch.equal(theirs["layers.1.ffn.router.weight"], ours["layers.1.ffn.router.weight"].bfloat16())
    export_gguf(back, tokenizer, tmp_path / "again.gguf", dtype)
    again = Read(tmp_path / "again.gguf")
    for name, tensor in read.tensors.items():
        kept = tensor.dim() > 1 and not any(part in name for part in ("attn_k_b", "attn_v_b", "token_embd", "gate_inp"))
        limit = 0 if kept else 0.04  # the others were bf16 numbers meanwhile
        assert (again.tensors[name] - tensor).abs().max() <= limit * tensor.abs().max(), name


def test_a_quantised_folder_keeps_its_codes_in_a_gguf_file(tokenizer: Path, tmp_path: Path) -> None:
    centime.save(build(**WHOLE), tmp_path / "m", tokenizer=tokenizer)
    quantise_folder(tmp_path / "m", tmp_path / "q", Formats("int4"))
    folder = centime.load(tmp_path / "q")
    export_gguf(folder, tokenizer, tmp_path / "q.gguf", "q4_0")
    file = centime.load(tmp_path / "q.gguf").weights()
    for name, weight in folder.weights().items():
        if isinstance(weight, Quantised) and "kv_up" not in name:
            assert torch.equal(file[name].codes, weight.codes), name
            assert torch.equal(file[name].scales, weight.scales), name


def test_other_types_become_int8(tokenizer: Path, tmp_path: Path) -> None:
    """A file of another program's, with matrices in Q5_0: rewritten here by the gguf package."""
    model = build()
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    writer = gguf.GGUFWriter(tmp_path / "o.gguf", "deepseek2")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            writer.add_key_value(name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        made, raw = tensor.data, None
        if tensor.name.endswith("ffn_down_exps.weight"):
            raw = gguf.GGMLQuantizationType.Q5_0
            made = gguf.quants.quantize(tensor.data, raw)
        writer.add_tensor(tensor.name, made, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    down = centime.load(tmp_path / "o.gguf").layers[1].ffn.experts.down
    assert down.kind == "int8"
    expected = Read(tmp_path / "o.gguf").tensors["blk.1.ffn_down_exps.weight"]
    assert (down.dense(torch.float32) - expected).abs().max() <= expected.abs().max() / 250


def test_a_damaged_file_is_a_sentence(tokenizer: Path, tmp_path: Path) -> None:
    model = build()
    model.layers[1].ffn.experts.down.data[1, 2, 3] = 1.0
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "q8_0")
    whole = (tmp_path / "m.gguf").read_bytes()
    for size in (0, 3, 40, 5000, len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"cut\.gguf"):
            centime.load(tmp_path / "cut.gguf")


def test_a_file_becomes_a_folder_that_talks(tokenizer: Path, tmp_path: Path) -> None:
    model = build(**WHOLE)
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "q8_0")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "m.gguf"), "--hf", str(tmp_path / "m")])
    assert result.exit_code == 0, result.output
    file, folder = centime.load(tmp_path / "m.gguf").weights(), centime.load(tmp_path / "m").weights()
    for name, weight in file.items():
        assert isinstance(folder[name], Quantised) == isinstance(weight, Quantised), name
        if isinstance(weight, Quantised):
            assert torch.equal(folder[name].codes, weight.codes), name
    theirs, ours = load_tokenizer(tmp_path / "m"), load_tokenizer(tokenizer)
    text = "def f(x):\n    return '深度求索' + 12345  # naïve 🚀"
    spelled = f"{ours.bos_token}<｜User｜>{text}{ours.eos_token}"
    for words in (text, spelled):
        assert theirs.encode(words) == ours.encode(words)
    assert theirs.encode(spelled, parse_special=False) == ours.encode(spelled, parse_special=False)
    assert theirs.decode(theirs.encode(text)) == text
    assert (theirs.bos_id, theirs.eos_id, theirs.chat_template) == (ours.bos_id, ours.eos_id, ours.chat_template)
