"""The tokenizer that a GGUF file carries, as a tokenizer folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from centime.data.tokenizers.bpe import pre_tokenizer
from centime.errors import UserError
from centime.files.gguf_file import read_gguf

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's llama_token_type
_PRE = "deepseek-v3"  # llama.cpp's name of the pre-tokenizer that `bpe` makes
# Pre-tokenizers of GPT-4's kind, by llama.cpp's names: how many digits of a number go together. The regular expression
# is that of the tokenizer.json of Llama 3 and of Qwen2, which differ in this alone.
_DIGITS = {"llama-bpe": r"\p{N}{1,3}", "qwen2": r"\p{N}", "deepseek-r1-qwen": r"\p{N}"}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write_tokenizer_of(path: Path, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json of the GGUF file `path` into `folder`.

    Raises UserError where the gguf package is absent or the file is damaged, and for another pre-tokenizer than those
    of DeepSeek-V3, Llama 3 and Qwen.
    """
    fields, _ = read_gguf(path)
    pre = fields.get("tokenizer.ggml.pre")
    known = (_PRE, *_DIGITS)
    if pre not in known:
        raise UserError(
            f"{path} splits text as {pre!r}; centime makes a tokenizer.json of {', '.join(map(repr, known))}. Load the "
            "file in Python and save it beside the tokenizer of the model that it comes from."
        )
    tokens = fields.get("tokenizer.ggml.tokens")
    if not tokens:
        raise UserError(f"{path} holds no tokens; copy it again.")
    (folder / "tokenizer.json").write_text(_backend(fields).to_str(pretty=True), "utf-8")
    begins = bool(fields.get("tokenizer.ggml.add_bos_token", False))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        # Qwen's files name a beginning that no text of theirs has
        "bos_token": _named(fields, "bos", tokens) if begins or pre not in ("qwen2", "deepseek-r1-qwen") else None,
        "eos_token": _named(fields, "eos", tokens),
        "add_bos_token": begins,
        "clean_up_tokenization_spaces": False,
        "chat_template": fields.get("tokenizer.chat_template"),
    }
    text = json.dumps({key: value for key, value in config.items() if value is not None}, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", "utf-8")


def _backend(fields: Mapping[str, Any]) -> tokenizers.Tokenizer:
    kinds = fields["tokenizer.ggml.token_type"]
    words = {word: index for index, word in enumerate(fields["tokenizer.ggml.tokens"]) if kinds[index] != _UNUSED}
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    pre = fields["tokenizer.ggml.pre"]
    # Llama 3 takes a word that is a token as it stands, and Qwen composes characters first, as their tokenizer.json say
    backend = tokenizers.Tokenizer(models.BPE(vocab=words, merges=merges, ignore_merges=pre == "llama-bpe"))
    if pre in _DIGITS:
        split = pre_tokenizers.Split(tokenizers.Regex(_WORDS + _DIGITS[pre] + _REST), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, level])
        if pre != "llama-bpe":
            backend.normalizer = normalizers.NFC()
    else:
        backend.pre_tokenizer = pre_tokenizer()
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(
        [
            AddedToken(word, normalized=False, special=kinds[index] == _CONTROL)
            for word, index in words.items()
            if kinds[index] in (_CONTROL, _USER_DEFINED)
        ]
    )
    return backend


def _named(fields: Mapping[str, Any], which: str, tokens: list[str]) -> str | None:
    index = fields.get(f"tokenizer.ggml.{which}_token_id")
    return None if index is None else tokens[index]
