"""Llama, Qwen2 and Qwen3 as GGUF files: what llama.cpp's own reader finds there, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.model.gguf.test_export import Read, tokenizer
from tests.model.tiny import assert_same
from tests.peers.models import CONFIGS, LLAMA3, grouped, ours

import centime
from centime.data.tokenizers import load_tokenizer
from centime.data.tokenizers.gguf_file import write_tokenizer_of
from centime.errors import UserError
from centime.model.gguf.export import export_gguf
from centime.model.gguf.vocabulary import read_vocabulary

gguf = pytest.importorskip("gguf")
__all__ = ["tokenizer"]  # the fixture

PLAIN = {
    name: fields | {"vocab_size": 420}
    for name, fields in CONFIGS.items()
    if name.startswith(("Llama", "Qwen")) and name != "Qwen3, biases"
} | {
    "Qwen2, tied": grouped(5, 1, 6, qkv_bias=True, tie_word_embeddings=True, vocab_size=420),
    "Qwen2, YaRN": grouped(6, 3, 5 * 2, hidden_size=60, qkv_bias=True, vocab_size=420),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_written_plain_is_read_as_it_was(name: str, tokenizer: Path, tmp_path: Path) -> None:
    model = ours(PLAIN[name])
    assert export_gguf(model, tokenizer, tmp_path / "m.gguf", "f32") == []
    read, config = Read(tmp_path / "m.gguf"), model.config
    architecture = name.split(",", maxsplit=1)[0].lower()
    assert read.fields["general.architecture"] == architecture
    assert read.fields[f"{architecture}.attention.head_count_kv"] == config.kv_heads
    assert read.fields[f"{architecture}.attention.key_length"] == config.v_head_dim
    assert ("blk.0.attn_q.bias" in read.tensors) == config.qkv_bias
    assert ("blk.0.attn_output.bias" in read.tensors) == config.out_bias
    assert ("blk.0.attn_k_norm.weight" in read.tensors) == config.qk_norm
    back = centime.load(tmp_path / "m.gguf", dtype=torch.float32)
    assert_same(back, model)
    ids = torch.arange(20)[None]
    assert torch.allclose(back(ids), model(ids), atol=1e-4)


@pytest.mark.parametrize("name", ["Llama", "Qwen3"])
def test_codes_go_out_and_come_back(name: str, tokenizer: Path, tmp_path: Path) -> None:
    model = ours(PLAIN[name] | {"hidden_size": 64, "intermediate_size": 96})
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "q8_0")
    back = centime.load(tmp_path / "m.gguf", dtype=torch.float32)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert (back(ids) - model(ids)).abs().max() < 0.1 * model(ids).abs().max()


def test_llama_3_s_factors_are_those_of_a_converted_file(tokenizer: Path, tmp_path: Path) -> None:
    """The formula of llama.cpp's converter (LlamaModel.generate_extra_tensors): what a frequency is divided by."""
    scaling = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}
    model = ours(grouped(5, 1, 64, rope_scaling=scaling, rope_theta=500000.0, vocab_size=420))
    export_gguf(model, tokenizer, tmp_path / "m.gguf", "bf16")
    found = Read(tmp_path / "m.gguf").tensors["rope_freqs.weight"]
    for i, factor in enumerate(found.tolist()):
        wavelength = 2 * torch.pi * 500000.0 ** (2 * i / 64)
        smooth = (8192 / wavelength - 1) / 3
        expected = 1 if smooth > 1 else 8 if smooth < 0 else 1 / ((1 - smooth) / 8 + smooth)
        assert factor == pytest.approx(expected, rel=1e-4), i


def test_other_factors_are_not_taken_for_llama_3_s(tokenizer: Path, tmp_path: Path) -> None:
    odd = LLAMA3 | {"low_freq_factor": 2.0, "high_freq_factor": 16.0}
    export_gguf(ours(grouped(6, 2, 16, rope_scaling=odd, vocab_size=420)), tokenizer, tmp_path / "m.gguf", "f32")
    with pytest.raises(UserError, match="otherwise than Llama 3 does"):
        centime.load(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (grouped(4, 2, 12, qk_norm=True, qkv_bias=True, out_bias=True), "qwen3 has no biases"),
        (grouped(6, 3, 4, qkv_bias=True), "qwen2 needs heads x head size"),
        (grouped(6, 3, 4, qk_norm=True, rope_scaling=LLAMA3), "qwen3 has no 'llama3' scaling"),
        (grouped(6, 3, 4, qk_norm=True, rope_interleave=True), "rope_interleave is true"),
    ],
)
def test_what_llama_cpp_cannot_compute_is_refused(
    fields: dict[str, Any], says: str, tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        export_gguf(ours(fields | {"vocab_size": 420}), tokenizer, tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("digits", "pre"), [(r"\p{N}{1,3}", "llama-bpe"), (r"\p{N}", "qwen2")])
def test_a_tokenizer_of_llama_3_or_qwen_goes_out_and_comes_back(digits: str, pre: str, tmp_path: Path) -> None:
    """Made by the tokenizers package from the regular expressions that the two publish."""
    tokenizers = pytest.importorskip("tokenizers")
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(words + digits + rest), "isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, level])
    backend.decoder = tokenizers.decoders.ByteLevel()
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, show_progress=False)
    backend.train_from_iterator([TEXT * 9], trainer)
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    vocabulary = read_vocabulary(tmp_path, 420)
    assert (vocabulary.pre, vocabulary.add_bos) == (pre, pre == "llama-bpe")
    end = backend.token_to_id("<|im_end|>")
    model = ours(grouped(6, 2, 8, vocab_size=420, bos_token_id=end - 1, eos_token_id=end))
    export_gguf(model, tmp_path, tmp_path / "m.gguf")
    back = tmp_path / "back"
    back.mkdir()
    write_tokenizer_of(tmp_path / "m.gguf", back)
    found, expected = load_tokenizer(back), load_tokenizer(tmp_path)
    for text in (TEXT, "It's 1234567 €, isn't it?\r\n\n  x\t", "<|im_start|>user 12"):
        assert found.encode(text) == expected.encode(text)
        assert found.decode(found.encode(text)) == text
    assert (found.bos_id, found.eos_id) == (end - 1 if pre == "llama-bpe" else None, end)


TEXT = "the cat's 12345 hats: don't (ever) write  \n\n 3.14159 in naïve Unicode 猫 🙂\n"
