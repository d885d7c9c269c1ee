"""A folder's tokenizer.json as llama.cpp wants it: tokens by id, their kinds, merges, and the pre-tokenizer's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from centime.catalogue.hf import explain, read_config, read_template
from centime.errors import UserError
from centime.json_files import read_object

# llama.cpp implements each pre-tokenizer in C++ and knows it by name. The regular expressions of a tokenizer.json's
# Split steps say which it is; of long ones, the beginning.
_GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_PRE_TOKENIZERS = {
    "llama-bpe": [_GPT4 + r"\p{N}{1,3}|"],  # Llama 3
    "qwen2": [_GPT4 + r"\p{N}|"],  # Qwen2, Qwen3 and R1's distillates of them
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥", "[!\"#$%&'()*+,"],  # V3, and what `centime tokenizer train` makes
    "deepseek-llm": ["[\r\n]", r"\s?[A-Za-z", r"\s?[!-/:-~", r"\s+$", "[一-龥ࠀ-一가-"],  # V2
}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's llama_token_type


_Id = Annotated[int, Field(strict=True, ge=0, lt=2**24)]


class _Bpe(BaseModel):
    """The `model` of a tokenizer.json: merges are pairs, or pairs in one text."""

    vocab: dict[str, _Id]
    merges: list[str | Annotated[list[str], Field(min_length=2, max_length=2)]]


class _Added(BaseModel):
    id: _Id
    content: str
    special: bool = False


class _Step(BaseModel):
    type: str
    pattern: dict[str, str] | None = None


class _Steps(BaseModel):
    pretokenizers: list[_Step] = []


class _File(BaseModel):
    """What is read of a tokenizer.json; its other keys say nothing that a GGUF file has a place for."""

    model: _Bpe
    added_tokens: list[_Added] = []
    pre_tokenizer: _Steps | None = None


@dataclass(frozen=True)
class GgufVocabulary:
    """What goes under `tokenizer.ggml.*`."""

    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    add_bos: bool
    chat_template: str | None


def read_vocabulary(folder: Path, vocab_size: int) -> GgufVocabulary:
    """The vocabulary of `folder`, padded with unused tokens to `vocab_size`.

    Raises UserError when there is no byte-level BPE tokenizer.json, when it has more tokens than the model has rows,
    or when llama.cpp does not know its pre-tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        raise UserError(f"{folder} has no tokenizer.json; a GGUF file carries its tokenizer, so copy it there.")
    try:
        raw = _File.model_validate(read_object(path))
    except ValidationError as error:
        raise UserError(f"{explain(error, str(path))} centime exports byte-level BPE tokenizers only.") from None
    words = {index: word for word, index in raw.model.vocab.items()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in raw.model.merges]
    specials = {token.id: token for token in raw.added_tokens}
    words |= {index: token.content for index, token in specials.items()}
    if not words:
        raise UserError(f"{path} has no token; centime exports byte-level BPE tokenizers only.")
    if max(words) >= vocab_size:
        raise UserError(f"{path} has ids up to {max(words)}, but the model has {vocab_size} rows; they do not belong.")
    kinds = [UNUSED if index not in words else NORMAL for index in range(vocab_size)]
    for index, token in specials.items():
        kinds[index] = CONTROL if token.special or _looks_special(token.content) else USER_DEFINED
    config = read_config(folder)
    pre = _pre_tokenizer(raw, path)
    return GgufVocabulary(
        pre=pre,
        tokens=[words.get(index, f"[PAD{index}]") for index in range(vocab_size)],
        kinds=kinds,
        merges=merges,
        add_bos=bool(config.get("add_bos_token", pre == "llama-bpe")),  # Llama 3 says it in a post-processor alone
        chat_template=read_template(folder, config),
    )


def _looks_special(token: str) -> bool:
    """V3 marks its role tokens as ordinary; llama.cpp's own converter tells them by their brackets."""
    return (token.startswith("<｜") and token.endswith("｜>")) or (token.startswith("<|") and token.endswith("|>"))


def _pre_tokenizer(raw: _File, path: Path) -> str:
    steps = raw.pre_tokenizer.pretokenizers if raw.pre_tokenizer else []
    patterns = [(step.pattern or {}).get("Regex", "") for step in steps if step.type == "Split"]
    for name, starts in _PRE_TOKENIZERS.items():
        if len(starts) == len(patterns) and all(p.startswith(s) for p, s in zip(patterns, starts, strict=True)):
            return name
    raise UserError(
        f"{path} splits text in a way that llama.cpp has no name for; centime exports the pre-tokenizers of "
        "DeepSeek-V2 and V3 (`centime tokenizer train` makes V3's), Llama 3, Qwen2 and Qwen3."
    )
