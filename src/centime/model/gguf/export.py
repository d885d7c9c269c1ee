"""A model as one GGUF file for llama.cpp: architecture `deepseek2` for MLA, else `llama`, `qwen2` or `qwen3`.

llama.cpp computes MLA in its absorbed form, so kv_up is stored as its two halves, the key half transposed
(`attn_k_b` [H, L, nope], `attn_v_b` [H, v, L]). In `deepseek2` and `llama` it rotates pairs (2i, 2i+1); rows that
rotate halves are reordered. MTP modules are left out, as by llama.cpp's own converter.
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
from centime.model.decoder import Transformer
from centime.model.gguf.architecture import ARCHITECTURES, architecture_of, check
from centime.model.gguf.blocks import KIND_OF, to_blocks
from centime.model.gguf.keys import write_sizes
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
    notes = check(config)
    vocabulary = read_vocabulary(tokenizer, config.vocab_size)
    with gguf_file(out, tokenizer).written() as temporary, contextlib.ExitStack() as stack:
        writer = gguf.GGUFWriter(temporary, architecture_of(config))
        stack.callback(_close, writer)
        writer.add_name(name or out.stem)
        writer.add_file_type(gguf.LlamaFileType[f"{'ALL' if dtype == 'f32' else 'MOSTLY'}_{dtype.upper()}"])
        write_sizes(writer, config)
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
    ours = [f"general.{key}" for key in ("architecture", "name", "file_type")]
    return keys[:3] == ours and keys[3:] in [[f"{name}.block_count"] for name in ARCHITECTURES]


def _close(writer: Any) -> None:
    """A file that the disk has no room for fails once more as it is closed: that is known by then."""
    with contextlib.suppress(OSError):
        writer.close()


class _Bytes(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes whose writing fails as any other does: NumPy says of a full disk only how many it took."""

    def tofile(self, fid: Any, sep: str = "", format: str = "%s") -> None:
        fid.write(self.data)


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
