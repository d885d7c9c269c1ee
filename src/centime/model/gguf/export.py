"""A model as one GGUF file for llama.cpp: architecture `deepseek2` for MLA, `llama` for the dense baseline.

llama.cpp computes MLA in its absorbed form, so kv_up is stored as its two halves, the key half transposed
(`attn_k_b` [H, L, nope], `attn_v_b` [H, v, L]). It rotates pairs (2i, 2i+1); rows that rotate halves are reordered.
MTP modules are left out, as by llama.cpp's own converter.
"""

from __future__ import annotations

import contextlib
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.files.output import Output
from centime.installation import needs
from centime.model.attention import LATENT_NORM_EPS
from centime.model.decoder import Transformer
from centime.model.gguf.blocks import KIND_OF, to_blocks
from centime.model.gguf.tensors import plain, tensors_by_llama_cpp
from centime.model.gguf.vocabulary import GgufVocabulary, read_vocabulary
from centime.ops.finite import is_finite
from centime.ops.quantised import GROUP, Quantised, quantise

_STRING = 8  # the type of a GGUF value that is text; the only other one among the first keys is a uint32
PLAIN = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
TYPES = (*PLAIN, "q8_0", "q4_0")


def export_gguf(model: Transformer, tokenizer: Path, out: Path, dtype: str = "bf16", name: str = "") -> list[str]:
    """Writes `model` and the tokenizer of folder `tokenizer` to the file `out`; matrices in `dtype`, the rest float32.

    With q4_0 the embedding and the head are q8_0; matrices whose inputs are no multiple of 32 are bf16 in both.
    Returns sentences about what llama.cpp will compute otherwise, for a person to read. Raises UserError where it
    could not compute the model at all, where the `gguf` package is absent, and when the file cannot be written.
    """
    try:
        import gguf
    except ImportError:
        raise needs("gguf", "GGUF export", "the gguf package") from None
    if dtype not in TYPES:
        raise UserError(f"{dtype!r} is not a type of GGUF export; choose one of {', '.join(TYPES)}.")
    config = model.config
    notes = _check(config)
    vocabulary = read_vocabulary(tokenizer, config.vocab_size)
    with gguf_file(out, tokenizer).written() as temporary, contextlib.ExitStack() as stack:
        writer = gguf.GGUFWriter(temporary, "deepseek2" if config.is_mla else "llama")
        stack.callback(_close, writer)
        writer.add_name(name or out.stem)
        writer.add_file_type(gguf.LlamaFileType[f"{'ALL' if dtype == 'f32' else 'MOSTLY'}_{dtype.upper()}"])
        _write_sizes(writer, config)
        _write_vocabulary(writer, config, vocabulary)
        _write_tensors(writer, temporary, model, dtype)
    return notes


def gguf_file(out: Path, model: Path) -> Output:
    """Where the export of folder `model` goes: over nothing but another one of centime's."""
    inputs = [path for path in model.glob("*") if path.suffix != ".gguf"]
    return Output(out, "a GGUF file", "name another --gguf file", _is_ours, inputs, parents=True)


def _is_ours(path: Path) -> bool:
    """Whether a GGUF file begins with centime's keys: others have general.type or more before the sizes."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    keys: list[str] = []
    at = 24  # after magic, version, and the numbers of tensors and keys
    if head[:4] != b"GGUF":
        return False
    with contextlib.suppress(struct.error):
        while len(keys) < 4:
            (length,) = struct.unpack_from("<Q", head, at)
            keys.append(head[at + 8 : at + 8 + length].decode("utf-8", "replace"))
            at += 8 + length
            (kind,) = struct.unpack_from("<I", head, at)
            (value,) = struct.unpack_from("<Q" if kind == _STRING else "<I", head, at + 4)
            at += 4 + (8 + value if kind == _STRING else 4)
    return keys[:3] == [f"general.{key}" for key in ("architecture", "name", "file_type")] and keys[3:] in (
        ["deepseek2.block_count"],
        ["llama.block_count"],
    )


def _close(writer: Any) -> None:
    """A file that the disk has no room for fails once more as it is closed: that is known by then."""
    with contextlib.suppress(OSError):
        writer.close()


class _Bytes(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes whose writing fails as any other does: NumPy says of a full disk only how many it took."""

    def tofile(self, fid: Any, sep: str = "", format: str = "%s") -> None:
        fid.write(self.data)


def _check(config: ModelConfig) -> list[str]:
    """UserError for what llama.cpp (2026) cannot compute; sentences for what it computes otherwise."""
    yarn, experts = config.rope_scaling, config.n_routed_experts is not None
    depth = config.num_hidden_layers
    if not config.is_mla and experts:
        raise UserError(
            "llama.cpp has no plain multi-head attention with DeepSeek's experts; only MLA models have them."
        )
    if not config.is_mla and config.num_attention_heads * config.v_head_dim != config.hidden_size:
        raise UserError("llama.cpp's llama architecture needs heads x head size = hidden size.")
    if experts and config.moe_layer_freq != 1:
        raise UserError(
            f"llama.cpp has experts in every layer after the dense ones; moe_layer_freq is {config.moe_layer_freq}."
        )
    if experts and not config.shared_width:
        raise UserError("llama.cpp's deepseek2 always has a shared expert; this model has none.")
    if config.is_mla and not config.qk_nope_head_dim:
        raise UserError("llama.cpp's deepseek2 needs a part of each head without rotation; qk_nope_head_dim is 0.")
    if config.is_mla and yarn is not None and yarn.mscale != yarn.mscale_all_dim:
        raise UserError(
            f"llama.cpp takes one YaRN slope for features and softmax; this model has mscale {yarn.mscale} and "
            f"mscale_all_dim {yarn.mscale_all_dim}."
        )
    if config.is_mla and config.q_lora_rank is not None and depth in (26, 27):
        raise UserError(f"llama.cpp takes a deepseek2 of {depth} layers for V2-Lite, which has no q_lora_rank.")
    if config.is_mla and config.rms_norm_eps != LATENT_NORM_EPS:
        raise UserError(
            f"llama.cpp norms latents with rms_norm_eps, {config.rms_norm_eps:g} in this model, and DeepSeek's code "
            f"with {LATENT_NORM_EPS:g}, as this model was trained."
        )
    notes = []
    if experts and config.topk_method == "group_limited_greedy" and _groups(config) > 1:
        notes.append(
            "llama.cpp ranks a group of experts by the sum of its two best, as V3 does; this model, like V2, by its "
            "best one. Where they disagree, tokens visit other experts."
        )
    if config.num_nextn_predict_layers:
        notes.append("The MTP modules are left out; llama.cpp decodes this model without them.")
    return notes


def _groups(config: ModelConfig) -> int:
    """Groups that restrict a token's choice; 1 where all are open."""
    groups, kept = config.n_group or 1, config.topk_group or 1
    return 1 if config.topk_method == "greedy" or kept == groups else groups


def _write_sizes(writer: Any, config: ModelConfig) -> None:
    import gguf

    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.qk_rope_head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    if config.kv_lora_rank is None:
        writer.add_head_count_kv(config.num_attention_heads)
    else:
        writer.add_head_count_kv(1)  # absorbed, all heads read one latent
        writer.add_q_lora_rank(config.q_lora_rank or 0)  # llama.cpp asks for it, and reads 0 as a plain query
        writer.add_kv_lora_rank(config.kv_lora_rank)
        writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        writer.add_value_length(config.kv_lora_rank)
        writer.add_key_length_mla(config.qk_nope_head_dim + config.qk_rope_head_dim)
        writer.add_value_length_mla(config.v_head_dim)
        _write_expert_sizes(writer, config)
    yarn = config.rope_scaling
    if yarn is None:
        return
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(yarn.factor)
    writer.add_rope_scaling_orig_ctx_len(yarn.original_max_position_embeddings)
    writer.add_rope_scaling_yarn_beta_fast(yarn.beta_fast)
    writer.add_rope_scaling_yarn_beta_slow(yarn.beta_slow)
    per_slope = 0.1 * math.log(yarn.factor)
    if config.is_mla and yarn.mscale_all_dim:
        # 0.1 x the slope: llama.cpp divides by 0.1 again for this architecture.
        writer.add_rope_scaling_yarn_log_mul(0.1 * yarn.mscale_all_dim)
    else:
        # Without a slope llama.cpp scales rotated features by 0.1 ln(s) + 1; this factor turns that into ours.
        wanted = 1.0 if config.is_mla else per_slope * yarn.mscale + 1
        writer.add_rope_scaling_attn_factors(wanted / (per_slope + 1))


def _write_expert_sizes(writer: Any, config: ModelConfig) -> None:
    import gguf

    if config.n_routed_experts is None:
        writer.add_leading_dense_block_count(config.num_hidden_layers)
        writer.add_expert_feed_forward_length(config.intermediate_size)
        writer.add_expert_shared_count(0)
        return
    writer.add_leading_dense_block_count(min(config.first_k_dense_replace, config.num_hidden_layers))
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_shared_count(config.n_shared_experts or 0)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob and config.num_experts_per_tok > 1)
    kinds = gguf.ExpertGatingFuncType
    writer.add_expert_gating_func(kinds.SIGMOID if config.scoring_func == "sigmoid" else kinds.SOFTMAX)
    if _groups(config) > 1:
        writer.add_expert_group_count(_groups(config))
        writer.add_expert_group_used_count(config.topk_group or 1)


def _write_vocabulary(writer: Any, config: ModelConfig, vocabulary: GgufVocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    if config.bos_token_id is not None and config.bos_token_id < config.vocab_size:
        writer.add_bos_token_id(config.bos_token_id)
    if config.eos_token_id is not None and config.eos_token_id < config.vocab_size:
        writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(vocabulary.add_bos)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def _write_tensors(writer: Any, path: Path, model: Transformer, dtype: str) -> None:
    """Header first, then one tensor at a time."""
    import gguf

    for name, tensor in tensors_by_llama_cpp(model):
        shape, stored = _shape(tensor), _stored_as(name, _shape(tensor), dtype)
        raw = gguf.GGMLQuantizationType[stored.upper()]
        block, size = gguf.GGML_QUANT_SIZES[raw]
        writer.add_tensor_info(name, shape, None, math.prod(shape) // block * size, raw_dtype=raw)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in tensors_by_llama_cpp(model):
        stored = _stored_as(name, _shape(tensor), dtype)
        if stored in PLAIN:
            data = plain(tensor).detach().to(device="cpu", dtype=PLAIN[stored]).contiguous()
            sound = is_finite(data)
        else:
            kind = KIND_OF[stored.upper()]
            ready = isinstance(tensor, Quantised) and tensor.kind == kind
            matrix = tensor if ready else quantise(plain(tensor).detach().cpu(), kind)
            assert isinstance(matrix, Quantised)
            data, sound = to_blocks(matrix).contiguous(), is_finite(matrix.scales)
        if not sound:
            right = is_finite(plain(tensor))
            why = f"too large for {dtype}; export as bf16 or f32" if right else "not finite (NaN, inf)"
            raise UserError(f"{name} holds numbers that are {why}.")
        writer.write_tensor_data(data.view(-1).view(torch.uint8).numpy().view(_Bytes))
    writer.close()


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return (*tensor.shape[:-1], tensor.inputs) if isinstance(tensor, Quantised) else tuple(tensor.shape)


def _stored_as(name: str, shape: tuple[int, ...], dtype: str) -> str:
    """One of TYPES. Vectors and the router stay float32 in every llama.cpp file: small, and routing is theirs."""
    if len(shape) == 1 or "ffn_gate_inp" in name:
        return "f32"
    if dtype in PLAIN:
        return dtype
    if shape[-1] % GROUP:
        return "bf16"
    return "q8_0" if name in ("token_embd.weight", "output.weight") else dtype
