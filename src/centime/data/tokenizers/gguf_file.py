"""The tokenizer that a GGUF file carries, as a tokenizer folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models

from centime.data.tokenizers.bpe import pre_tokenizer
from centime.errors import UserError
from centime.files.gguf_file import read_gguf

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's llama_token_type
_PRE = "deepseek-v3"  # llama.cpp's name of the pre-tokenizer that `bpe` makes


def write_tokenizer_of(path: Path, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json of the GGUF file `path` into `folder`.

    Raises UserError where the gguf package is absent or the file is damaged, and for another pre-tokenizer than
    DeepSeek-V3's.
    """
    fields, _ = read_gguf(path)
    pre = fields.get("tokenizer.ggml.pre")
    if pre != _PRE:
        raise UserError(
            f"{path} splits text as {pre!r}; centime makes a tokenizer.json of {_PRE!r} alone. Load the file in Python "
            "and save it beside the tokenizer of the model that it comes from."
        )
    tokens = fields.get("tokenizer.ggml.tokens")
    if not tokens:
        raise UserError(f"{path} holds no tokens; copy it again.")
    (folder / "tokenizer.json").write_text(_backend(fields).to_str(pretty=True), "utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _named(fields, "bos", tokens),
        "eos_token": _named(fields, "eos", tokens),
        "add_bos_token": bool(fields.get("tokenizer.ggml.add_bos_token", False)),
        "clean_up_tokenization_spaces": False,
        "chat_template": fields.get("tokenizer.chat_template"),
    }
    text = json.dumps({key: value for key, value in config.items() if value is not None}, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", "utf-8")


def _backend(fields: Mapping[str, Any]) -> tokenizers.Tokenizer:
    kinds = fields["tokenizer.ggml.token_type"]
    words = {word: index for index, word in enumerate(fields["tokenizer.ggml.tokens"]) if kinds[index] != _UNUSED}
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    backend = tokenizers.Tokenizer(models.BPE(vocab=words, merges=merges))
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
