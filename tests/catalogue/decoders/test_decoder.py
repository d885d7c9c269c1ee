"""What is read of a stranger's config.json: cache by hand, the folder before the name, and refusals by key."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from centime.catalogue.architecture import Encoder, ExpertsSpec, LatentAttention, SoftmaxAttention, StateSpace
from centime.catalogue.decoders import architecture_of, read_architecture
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.counts.architecture import count_architecture
from centime.plan.serving.costs import model_cost

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
LATENT = {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
MIXTURE = {"n_routed_experts": 64, "num_experts_per_tok": 6, "moe_intermediate_size": 1408, "n_shared_experts": 2}
INDEXER = {"index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128}
WINDOWS = ["sliding_attention"] * 24 + ["full_attention"] * 8
DELTA = {
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "full_attention_interval": 4,
}
MAMBA = {"mamba_num_heads": 128, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8}

LONGCAT = {"n_routed_experts": 512, "zero_expert_num": 256, "moe_topk": 12, "expert_ffn_hidden_size": 2048,
           "ffn_hidden_size": 12288}  # fmt: skip

# model_type, what it adds to LLAMA, and the elements that one more token adds to the cache, layer by layer by hand
CACHES = [
    ("llama", {}, 32 * 2 * 8 * 128),
    ("qwen3", {"head_dim": 64}, 32 * 2 * 8 * 64),
    ("mistral", {"sliding_window": 4096}, 0),
    ("deepseek_v3", LATENT | MIXTURE, 32 * (512 + 64)),
    ("deepseek_v32", LATENT | MIXTURE | INDEXER, 32 * (512 + 64 + 128)),
    ("glm_moe_dsa", LATENT | INDEXER | {"indexer_types": ["full", "shared"] * 16}, 32 * 576 + 16 * 128),
    ("gpt_oss", {"sliding_window": 128}, 16 * 2 * 8 * 128),
    ("gemma3", {"sliding_window": 1024, "layer_types": WINDOWS}, 8 * 2 * 8 * 128),
    ("gemma4", {"sliding_window": 1024, "layer_types": WINDOWS, "global_head_dim": 512, "num_global_key_value_heads": 2,
                "attention_k_eq_v": True}, 8 * 2 * 2 * 512),
    ("gemma4_text", {"sliding_window": 512, "layer_types": WINDOWS, "num_kv_shared_layers": 3}, 5 * 2 * 8 * 128),
    ("qwen3_next", DELTA, 8 * 2 * 8 * 128),
    ("nemotron_h", MAMBA | {"hybrid_override_pattern": "M-M*" * 8}, 8 * 2 * 8 * 128),
    ("falcon", {"multi_query": True, "num_key_value_heads": None}, 32 * 2 * 1 * 128),
    ("gemma3n_text", {"layer_types": WINDOWS, "sliding_window": 512, "num_kv_shared_layers": 4, "altup_num_inputs": 4,
                      "laurel_rank": 64, "hidden_size_per_layer_input": 256}, 4 * 2 * 8 * 128),
    ("longcat_flash", LATENT | LONGCAT, 2 * 32 * (512 + 64)),
    ("laguna", {"num_attention_heads_per_layer": [32, 48] * 16, "head_dim": 128}, 32 * 2 * 8 * 128),
    ("minimax_m3_vl_text", {"index_topk_blocks": 16, "index_n_heads": 4, "index_head_dim": 128}, 32 * 2 * 8 * 128),
    ("minicpm3", LATENT | {"scale_emb": 12, "kv_lora_rank": 256, "qk_rope_head_dim": 32}, 32 * (256 + 32)),
    ("mimo_v2_flash", {"hybrid_layer_pattern": [0, 1, 1, 1] * 8, "sliding_window": 128, "v_head_dim": 64}, 8 * 8 * 192),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "elements"), CACHES, ids=[case[0] for case in CACHES])
def test_what_a_token_takes_in_the_cache(family: str, changes: dict[str, Any], elements: int) -> None:
    arch = architecture_of(LLAMA | {"model_type": family} | changes)
    assert count_architecture(arch).kv_elements_per_token == elements


def test_layers_with_embeddings_of_their_own_and_those_that_share_a_cache() -> None:
    """Gemma 4's E2B: what is looked up is held and not multiplied; a shared cache is read though it holds nothing."""
    plain = count_architecture(architecture_of(LLAMA))
    own = {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 1000}
    found = count_architecture(architecture_of(LLAMA | own))
    products = 32 * (3 * 256 * 4096)
    assert found.matmul_params - plain.matmul_params == products
    assert found.total_params - plain.total_params == products + 32 * (1000 * 256 + 4096)
    assert found.active_params - found.active_params_without_embedding == 4096 * 128256 + 32 * 1000 * 256
    shared = architecture_of(LLAMA | {"num_kv_shared_layers": 8})
    assert plain.total_params - count_architecture(shared).total_params == 8 * 4096 * 2 * 8 * 128
    layers = model_cost(shared).layers
    assert [layer.kv_elements(100) for layer in layers] == [100 * 2 * 8 * 128, 0]
    assert [layer.decode_elements(100) for layer in layers] == [100 * 2 * 8 * 128] * 2
    wide = architecture_of(LLAMA | {"num_kv_shared_layers": 8, "use_double_wide_mlp": True})
    assert [block.feed_forward.width for block in wide.blocks] == [14336, 2 * 14336]  # type: ignore[union-attr]


def test_experts_that_compute_nothing_are_chosen_and_cost_nothing() -> None:
    """LongCat: of 12 that a token chooses among 768, 8 are among the 512 that compute; two attentions a layer."""
    arch = architecture_of(LLAMA | LATENT | LONGCAT | {"model_type": "longcat_flash"})
    assert arch.layers == 3 * 32
    (mixture,) = (block.feed_forward for block in arch.blocks if isinstance(block.feed_forward, ExpertsSpec))
    assert (mixture.experts, mixture.top_k, mixture.zero_experts) == (512, 8, 256)
    assert "256 of the 768 experts that a token may choose compute nothing" in arch.assumptions[0]
    plain = architecture_of(LLAMA | LATENT | LONGCAT | {"model_type": "longcat_flash", "zero_expert_num": 0})
    more, less = count_architecture(arch), count_architecture(plain)
    assert more.total_params - less.total_params == 32 * 256 * 4096  # the router's rows
    assert less.active_params - more.active_params == 32 * (4 * 3 * 4096 * 2048 - 256 * 4096)


def test_streams_that_take_turns() -> None:
    """Gemma 3n: three more streams made and joined once, each layer's weights of four, a product of rank 64."""
    plain = count_architecture(architecture_of(LLAMA))
    found = count_architecture(architecture_of(LLAMA | {"altup_num_inputs": 4, "laurel_rank": 64}))
    each = 2 * 64 * 4096 + 4 * 4096 + 4 * (4 + 16)
    assert found.total_params - plain.total_params == 32 * each + 6 * 4096**2
    assert found.matmul_params - plain.matmul_params == 32 * each + 6 * 4096**2


def test_active_parameters_with_and_without_the_table() -> None:
    found = count_architecture(architecture_of(LLAMA | {"model_type": "deepseek_v3"} | LATENT | MIXTURE))
    experts = 32 * 3 * 4096 * 1408
    assert found.total_params - found.active_params == pytest.approx((64 - 6) * experts)
    assert found.active_params - found.active_params_without_embedding == 4096 * 128256


def test_a_folder_is_read_though_a_model_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Qwen3-8B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA | {"num_hidden_layers": 5}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("Qwen3-8B", "./Qwen3-8B", str(folder), str(folder / "config.json")):
        assert architecture(name).layers == 5, name
    monkeypatch.chdir("/")
    assert architecture("Qwen3-8B").layers == 36


def test_bounds_that_bind_nothing_may_be_infinite(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA)[:-1] + ', "time_step_limit": [0.0, Infinity]}', encoding="utf-8")
    assert read_architecture(file).layers == 32


def test_the_decoder_of_a_model_of_several_kinds_of_input() -> None:
    raw = {"model_type": "thing", "text_config": LLAMA, "vision_config": {"depth": 27}, "tie_word_embeddings": True}
    arch = architecture_of(raw)
    assert arch.layers == 32
    assert arch.tied
    assert arch.assumptions == ("the language model alone, without vision_config, which is not counted",)
    assert arch.encoders == (Encoder("vision_config", None),)


def test_layers_with_sizes_of_their_own() -> None:
    raw = LLAMA | {"per_layer_config": {"03": {"num_key_value_heads": 4}, "31": {"intermediate_size": 64}}}
    arch = architecture_of(raw)
    assert [block.repeat for block in arch.blocks] == [30, 1, 1]
    heads = [block.mixer.kv_heads for block in arch.blocks if isinstance(block.mixer, SoftmaxAttention)]
    assert heads == [8, 4, 8]
    listed = architecture_of(LLAMA | {"num_key_value_heads": [8, 4] * 16})
    assert [block.repeat for block in listed.blocks] == [16, 16]


def test_layers_that_a_search_has_pruned() -> None:
    whole = {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.625}}
    pruned = {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}}
    arch = architecture_of(LLAMA | {"model_type": "nemotron-nas", "block_configs": [whole, pruned] * 16})
    assert [(block.mixer is None, block.feed_forward.width) for block in arch.blocks] == [(False, 7168), (True, 2816)]  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"block_configs\.0\.attention\.replace_with_linear is true"):
        architecture_of(LLAMA | {"block_configs": [{"attention": {"replace_with_linear": True}}] * 32})


def test_attention_beside_a_state_space_and_modules_of_their_own() -> None:
    raw = LLAMA | {"model_type": "falcon_h1", "mamba_n_heads": 24, "mamba_d_head": 64, "mamba_d_state": 256}
    arch = architecture_of(raw | {"mamba_d_ssm": 1536, "num_nextn_predict_layers": 1})
    assert {type(block.mixer) for block in arch.blocks} == {SoftmaxAttention, StateSpace}
    assert arch.mtp_modules == 1
    latent = architecture_of(LLAMA | LATENT | {"model_type": "deepseek_v2"})
    assert {type(block.mixer) for block in latent.blocks} == {LatentAttention}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": None}, "num_hidden_layers .* is missing"),
    ({"num_hidden_layers": 2**31}, "num_hidden_layers is 2147483648; expected at most 10,000 layers"),
    ({"per_layer_config": {"9" * 5000: {}}}, "per_layer_config.9+ is"),
    ({"num_hidden_layers": "32"}, 'num_hidden_layers is "32"; expected a whole number'),
    ({"hidden_size": True}, "hidden_size is true"),
    ({"hidden_size": 0}, "hidden_size is 0"),
    ({"hidden_size": 1e300}, "hidden_size is 1e"),
    ({"vocab_size": -1}, "vocab_size is -1"),
    ({"num_key_value_heads": [8, 8]}, "num_key_value_heads is .*one number for each of the 32 layers"),
    ({"layer_types": ["full_attention"]}, "layer_types is .*one entry for each of the 32 layers"),
    ({"layer_types": ["quantum_attention"] * 32}, 'layer_types is "quantum_attention"'),
    ({"hybrid_override_pattern": "MX" * 16}, "hybrid_override_pattern is"),
    ({"per_layer_config": {"99": {}}}, "per_layer_config.99 is"),
    ({"is_encoder_decoder": True}, "is_encoder_decoder: it is an encoder and a decoder"),
    ({"num_kv_shared_layers": 32}, "num_kv_shared_layers is 32; expected fewer than the 32 layers"),
    ({"text_config": 5}, "text_config is 5; expected an object"),
    ({"model_type": "jetmoe"}, "model_type is 'jetmoe'"),
    ({"model_type": "nobody", "expert_latent_rank": 64}, "expert_latent_rank is 64, which may change a size"),
    ({"model_type": "nobody", "hidden_act": "gelu"}, "hidden_act is .gelu., which does not say"),
    ({"routed_memory_experts": [1, 2]}, "routed_memory_experts is"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_what_cannot_be_read_is_refused_by_its_key(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture_of(LLAMA | changes)


ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    2.5,
    2**31,
    1e300,
    float("nan"),
    "",
    "x",
    [],
    [1],
    ["x"] * 32,
    {},
    {"a": 1},
)
SWITCHES = ("moe_layer_freq", "sliding_window_pattern", "mlp_only_layers", "compress_ratios", "per_layer_config",
            "layers_block_type", "block_configs", "linear_attn_config", "attn_layer_period", "mamba_dt_rank",
            "text_config", "vision_config", "moe_layer_end_index", "mlp_layer_types", "tie_word_embeddings",
            "hidden_act", "model_type", "quantization_config", "state_size", "ffn_config", "attn_config")  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "elements"), CACHES, ids=[case[0] for case in CACHES])
def test_any_value_at_any_key_is_read_or_refused(family: str, changes: dict[str, Any], elements: int) -> None:
    """A model is counted, or a sentence says why not; nothing else comes of a stranger's file."""
    whole = LLAMA | {"model_type": family} | changes
    read = 0
    for key in [*whole, *SWITCHES]:
        for value in ODD:
            with contextlib.suppress(UserError):
                found = count_architecture(architecture_of(whole | {key: value}))
                read += 1
                assert found.total_params > 0
    assert read > len(whole) + len(SWITCHES)  # null at most keys is no fault
    assert count_architecture(architecture_of(whole)).kv_elements_per_token == elements
