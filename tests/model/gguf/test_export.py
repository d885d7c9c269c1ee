"""GGUF files read back with the gguf package: every weight in its place, every size under its key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import centime
from centime.catalogue.model_config import ModelConfig, YarnScaling
from centime.catalogue.presets import preset
from centime.cli import app
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.errors import UserError
from centime.model import Transformer
from centime.model.gguf.export import export_gguf, gguf_file
from centime.model.gguf.vocabulary import CONTROL, NORMAL, UNUSED, read_vocabulary
from centime.plan.counts.baseline import dense_baseline

gguf = pytest.importorskip("gguf")

YARN = YarnScaling(factor=8, original_max_position_embeddings=512)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer") / "t"
    write_tokenizer(train_tokenizer([Path(__file__).read_text()], 400), folder)
    return folder


def build(**changes: Any) -> Transformer:
    model = Transformer(preset("centime-d2", vocab_size=420, **changes))
    model.init_weights(0)
    return model


class Read:
    """A GGUF file as plain values and float32 tensors."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {
            tensor.name: torch.from_numpy(
                np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            ).reshape([int(size) for size in reversed(tensor.shape)])
            for tensor in reader.tensors
        }


def test_every_weight_and_size(tokenizer: Path, tmp_path: Path) -> None:
    model = build(q_lora_rank=24, rope_scaling=YARN)
    assert export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32", name="small") == []
    read, config = Read(tmp_path / "m.gguf"), model.config
    state = model.state_dict()
    expected: dict[str, Tensor] = {
        "token_embd.weight": state["embed.weight"],
        "output.weight": state["head.weight"],
        "blk.0.attn_q_a.weight": state["layers.0.attention.q_down.weight"],
        "blk.0.attn_q_b.weight": state["layers.0.attention.q_up.weight"],
        "blk.0.attn_kv_a_mqa.weight": state["layers.0.attention.kv_down.weight"],
        "blk.0.ffn_up.weight": state["layers.0.ffn.gate_up"][1],
        "blk.1.ffn_gate_exps.weight": state["layers.1.ffn.experts.gate_up"][:, 0],
        "blk.1.ffn_down_exps.weight": state["layers.1.ffn.experts.down"],
        "blk.1.ffn_up_shexp.weight": state["layers.1.ffn.shared.gate_up"][1],
        "blk.1.ffn_gate_inp.weight": state["layers.1.ffn.router.weight"],
        "blk.1.exp_probs_b.bias": state["layers.1.ffn.router.e_score_correction_bias"],
    }
    for name, tensor in expected.items():
        assert torch.equal(read.tensors[name], tensor), name
    heads = state["layers.0.attention.kv_up.weight"].view(config.num_attention_heads, -1, 32)
    assert torch.equal(read.tensors["blk.0.attn_k_b.weight"], heads[:, :32].transpose(1, 2))
    assert torch.equal(read.tensors["blk.0.attn_v_b.weight"], heads[:, 32:])
    assert sum(tensor.numel() for tensor in read.tensors.values()) == sum(tensor.numel() for tensor in state.values())
    for key, value in {
        "general.architecture": "deepseek2",
        "general.name": "small",
        "deepseek2.block_count": 2,
        "deepseek2.attention.key_length": 48,
        "deepseek2.attention.key_length_mla": 48,
        "deepseek2.attention.value_length_mla": 32,
        "deepseek2.attention.head_count_kv": 1,
        "deepseek2.expert_used_count": 4,
        "deepseek2.expert_weights_norm": True,
        "deepseek2.expert_gating_func": 2,
        "deepseek2.leading_dense_block_count": 1,
        "deepseek2.rope.dimension_count": 16,
        "deepseek2.rope.scaling.type": "yarn",
        "tokenizer.ggml.pre": "deepseek-v3",
    }.items():
        assert read.fields[key] == value, key
    assert read.fields["deepseek2.rope.scaling.yarn_log_multiplier"] == pytest.approx(0.1)
    assert len(read.fields["tokenizer.ggml.tokens"]) == 420
    assert read.fields["tokenizer.ggml.token_type"] == read_vocabulary(tokenizer, 420).kinds


@pytest.mark.parametrize(("normed", "used", "stored"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_gates_are_normed_where_there_are_several(
    normed: bool, used: int, stored: bool, tokenizer: Path, tmp_path: Path
) -> None:
    model = build(norm_topk_prob=normed, num_experts_per_tok=used)
    export_gguf(model, tokenizer, tmp_path / "m.gguf")
    fields = Read(tmp_path / "m.gguf").fields
    assert (fields["deepseek2.expert_weights_norm"], fields["deepseek2.expert_used_count"]) == (stored, used)


def test_yarn_scales_features_as_the_model_does(tokenizer: Path, tmp_path: Path) -> None:
    """llama.cpp by itself scales them by 0.1 ln(s) + 1; what is written is what that has to be multiplied by."""
    own = 0.1 * math.log(8) + 1
    dense = dense_baseline(preset("centime-d2", vocab_size=420))
    for config, wanted in (
        (
            preset(
                "centime-d2", vocab_size=420, rope_scaling=YARN.model_copy(update={"mscale": 0, "mscale_all_dim": 0})
            ),
            1.0,
        ),
        (dense.model_copy(update={"rope_scaling": YARN.model_copy(update={"mscale": 2.0})}), 0.2 * math.log(8) + 1),
    ):
        model = Transformer(config)
        model.init_weights(0)
        export_gguf(model, tokenizer, tmp_path / "m.gguf")
        read = Read(tmp_path / "m.gguf").fields
        name = read["general.architecture"]
        assert read[f"{name}.rope.scaling.attn_factor"] * own == pytest.approx(wanted)
        assert f"{name}.rope.scaling.yarn_log_multiplier" not in read
        assert (read[f"{name}.rope.scaling.yarn_beta_fast"], read[f"{name}.rope.scaling.yarn_beta_slow"]) == (
            YARN.beta_fast,
            YARN.beta_slow,
        )
        assert (read[f"{name}.rope.scaling.factor"], read[f"{name}.rope.scaling.original_context_length"]) == (8, 512)


def test_an_export_goes_over_an_export_alone(tokenizer: Path, tmp_path: Path) -> None:
    """In the model's own folder too, over none of what is read there; nor over what only begins as one."""
    folder = tmp_path / "m"
    centime.save(build(), folder, tokenizer=tokenizer)
    out = folder / "m.gguf"
    for name in ("small", "a longer name"):
        with gguf_file(out, folder).written() as temporary:
            export_gguf(build(), tokenizer, temporary, name=name)
    whole = out.read_bytes()
    with pytest.raises(UserError, match=r"config\.json is read by this command and would be replaced"):
        gguf_file(folder / "config.json", folder).require_writable()
    for other in (b"GGUF", whole[:40], b"gguf" + whole[4:], whole.replace(b"file_type", b"file_kind")):
        out.write_bytes(other)
        with pytest.raises(UserError, match="is not a GGUF file that centime wrote"):
            gguf_file(out, folder).require_writable()


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_narrow_types_leave_vectors_and_router_alone(dtype: str, tokenizer: Path, tmp_path: Path) -> None:
    model = build()
    export_gguf(model, tokenizer, tmp_path / "m.gguf", dtype)
    tensors, state = Read(tmp_path / "m.gguf").tensors, model.state_dict()
    narrow = {"bf16": torch.bfloat16, "f16": torch.float16}[dtype]
    assert torch.equal(tensors["output.weight"], state["head.weight"].to(narrow).float())
    assert torch.equal(tensors["blk.1.ffn_gate_inp.weight"], state["layers.1.ffn.router.weight"])


def test_dense_baseline_is_a_llama_that_rotates_pairs(tokenizer: Path, tmp_path: Path) -> None:
    model = Transformer(dense_baseline(preset("centime-d2", vocab_size=420, tie_word_embeddings=True)))
    model.init_weights(0)
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32")
    read = Read(tmp_path / "m.gguf")
    assert read.fields["general.architecture"] == "llama"
    assert "output.weight" not in read.tensors
    q = model.state_dict()["layers.0.attention.q.weight"]
    half = model.config.qk_rope_head_dim // 2
    assert torch.equal(read.tensors["blk.0.attn_q.weight"][1], q[half])  # row 1 of a pair comes from the second half
    assert torch.equal(read.tensors["blk.0.attn_q.weight"][2], q[1])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_shared_experts": 0}, "shared expert"),
        ({"moe_layer_freq": 2}, "moe_layer_freq is 2"),
        ({"rope_scaling": YARN.model_copy(update={"mscale": 0.5})}, "mscale 0.5"),
        *(({"num_hidden_layers": n, "q_lora_rank": 8}, f"deepseek2 of {n} layers for V2-Lite") for n in (26, 27)),
        ({"kv_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 32}, "no plain attention with DeepSeek"),
        ({"vocab_size": 100}, "ids up to"),
    ],
)
def test_what_llama_cpp_cannot_compute_is_refused(
    changes: dict[str, Any], says: str, tokenizer: Path, tmp_path: Path
) -> None:
    config = ModelConfig.model_validate(preset("centime-d2", vocab_size=420).model_dump() | changes)
    with pytest.raises(UserError, match=says):
        export_gguf(Transformer(config), tokenizer, tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []


def test_what_llama_cpp_computes_otherwise_is_said(tokenizer: Path, tmp_path: Path) -> None:
    model = build(topk_method="group_limited_greedy", n_group=4, topk_group=2, num_nextn_predict_layers=1)
    groups, mtp = export_gguf(model, tokenizer, tmp_path / "m.gguf")
    assert "sum of its two best" in groups
    assert "MTP" in mtp
    read = Read(tmp_path / "m.gguf")
    assert not [name for name in read.tensors if name.startswith("blk.2")]
    assert (read.fields["deepseek2.expert_group_count"], read.fields["deepseek2.expert_group_used_count"]) == (4, 2)


@pytest.mark.parametrize(("bos", "eos"), [(0, 419), (420, 1), (None, 420), (419, None)])
def test_ends_are_named_where_the_model_has_rows_for_them(
    bos: int | None, eos: int | None, tokenizer: Path, tmp_path: Path
) -> None:
    export_gguf(build(bos_token_id=bos, eos_token_id=eos), tokenizer, tmp_path / "m.gguf")
    fields = Read(tmp_path / "m.gguf").fields
    named = [fields.get(f"tokenizer.ggml.{end}_token_id") for end in ("bos", "eos")]
    assert named == [token if token is not None and token < 420 else None for token in (bos, eos)]
    assert "deepseek2.expert_group_count" not in fields, "all groups are open"


@pytest.mark.parametrize(
    ("value", "dtype", "says"),
    [
        (1e6, "f16", "blk.1.attn_output.weight holds numbers that are too large for f16; export as bf16 or f32"),
        (math.nan, "f32", "blk.1.attn_output.weight holds numbers that are not finite"),
    ],
)
def test_numbers_that_a_file_cannot_hold_are_named(
    value: float, dtype: str, says: str, tokenizer: Path, tmp_path: Path
) -> None:
    model = build()
    model.layers[1].attention.out.weight.data[0, 1] = value
    with pytest.raises(UserError, match=says):
        export_gguf(model, tokenizer, tmp_path / "m.gguf", dtype)
    assert list(tmp_path.iterdir()) == []


def test_vocabulary(tokenizer: Path) -> None:
    vocabulary = read_vocabulary(tokenizer, 420)
    raw = json.loads((tokenizer / "tokenizer.json").read_text())
    assert vocabulary.tokens[raw["model"]["vocab"]["a"]] == "a"
    assert vocabulary.kinds[raw["model"]["vocab"]["a"]] == NORMAL
    assert vocabulary.kinds[raw["added_tokens"][0]["id"]] == CONTROL
    assert vocabulary.kinds[-1] == UNUSED
    assert len(vocabulary.merges) == len(raw["model"]["merges"])
    ids = [*raw["model"]["vocab"].values(), *(token["id"] for token in raw["added_tokens"])]
    full = read_vocabulary(tokenizer, max(ids) + 1)
    assert len(full.tokens) == max(ids) + 1
    assert UNUSED not in full.kinds
    with pytest.raises(UserError, match=f"has ids up to {max(ids)}, but the model has {max(ids)} rows"):
        read_vocabulary(tokenizer, max(ids))
    with pytest.raises(UserError, match=r"has no tokenizer\.json; a GGUF file carries its tokenizer"):
        read_vocabulary(tokenizer.parent, 420)


@pytest.mark.parametrize(("name", "pre"), [("deepseek-v3", "deepseek-v3"), ("deepseek-v2", "deepseek-llm")])
def test_published_tokenizers(name: str, pre: str, shared: Path) -> None:
    vocabulary = read_vocabulary(shared / "data" / "tokenizers" / name, 129280)
    assert vocabulary.pre == pre
    assert vocabulary.chat_template
    assert vocabulary.add_bos == (name == "deepseek-v2")


@pytest.mark.parametrize("index", ["5", 5.0, -1, 2**24, True])
def test_an_id_is_a_whole_number(index: object, tokenizer: Path, tmp_path: Path) -> None:
    raw = json.loads((tokenizer / "tokenizer.json").read_text())
    raw["model"]["vocab"]["a"] = index
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="centime exports byte-level BPE tokenizers only"):
        read_vocabulary(tmp_path, 420)


def test_unknown_pre_tokenizer(tokenizer: Path, tmp_path: Path) -> None:
    raw = json.loads((tokenizer / "tokenizer.json").read_text())
    raw["pre_tokenizer"] = {"type": "Whitespace"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="no name for"):
        read_vocabulary(tmp_path, 420)


def test_command(tokenizer: Path, tmp_path: Path) -> None:
    centime.save(build(), tmp_path / "m", tokenizer=tokenizer)
    result = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--gguf", str(tmp_path / "m.gguf")])
    assert result.exit_code == 0, result.output
    assert "MiB" in result.output
    assert Read(tmp_path / "m.gguf").fields["general.name"] == "m"
