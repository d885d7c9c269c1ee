"""A folder's tokenizer.json as llama.cpp wants it: tokens by id, their kinds, merges, and the pre-tokenizer's name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from centime.errors import UserError

# llama.cpp implements each pre-tokenizer in C++ and knows it by name. The regular expressions of a tokenizer.json's
# Split steps say which it is; of long ones, the beginning.
_PRE_TOKENIZERS = {
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥", "[!\"#$%&'()*+,"],  # V3, and what `centime tokenizer train` makes
    "deepseek-llm": ["[\r\n]", r"\s?[A-Za-z", r"\s?[!-/:-~", r"\s+$", "[一-龥ࠀ-一가-"],  # V2
}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's llama_token_type


@dataclass(frozen=True)
class Vocabulary:
    """What goes under `tokenizer.ggml.*`."""

    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    add_bos: bool
    chat_template: str | None


def read_vocabulary(folder: Path, vocab_size: int) -> Vocabulary:
    """The vocabulary of `folder`, padded with unused tokens to `vocab_size`.

    Raises UserError when there is no byte-level BPE tokenizer.json, when it has more tokens than the model has rows,
    or when llama.cpp does not know its pre-tokenizer.
    """
    path = folder / "tokenizer.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        model, added = raw["model"], raw.get("added_tokens", [])
        words = {index: word for word, index in model["vocab"].items()}
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no tokenizer.json; a GGUF file carries its tokenizer, so copy it there."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a byte-level BPE tokenizer ({error}); centime exports only those.") from None
    specials = {token["id"]: token for token in added}
    words |= {index: token["content"] for index, token in specials.items()}
    if max(words) >= vocab_size:
        raise UserError(f"{path} has ids up to {max(words)}, but the model has {vocab_size} rows; they do not belong.")
    kinds = [UNUSED if index not in words else NORMAL for index in range(vocab_size)]
    for index, token in specials.items():
        kinds[index] = CONTROL if token.get("special") or _looks_special(token["content"]) else USER_DEFINED
    config = _config(folder)
    return Vocabulary(
        pre=_pre_tokenizer(raw, path),
        tokens=[words.get(index, f"[PAD{index}]") for index in range(vocab_size)],
        kinds=kinds,
        merges=merges,
        add_bos=bool(config.get("add_bos_token", False)),
        chat_template=_chat_template(folder, config),
    )


def _looks_special(token: str) -> bool:
    """V3 marks its role tokens as ordinary; llama.cpp's own converter tells them by their brackets."""
    return (token.startswith("<｜") and token.endswith("｜>")) or (token.startswith("<|") and token.endswith("|>"))


def _pre_tokenizer(raw: dict[str, Any], path: Path) -> str:
    steps = (raw.get("pre_tokenizer") or {}).get("pretokenizers", [])
    patterns = [step["pattern"].get("Regex", "") for step in steps if step.get("type") == "Split"]
    for name, starts in _PRE_TOKENIZERS.items():
        if len(starts) == len(patterns) and all(p.startswith(s) for p, s in zip(patterns, starts, strict=True)):
            return name
    raise UserError(
        f"{path} splits text in a way that llama.cpp has no name for; centime exports the pre-tokenizers of "
        "DeepSeek-V2 and V3 (`centime tokenizer train` makes V3's)."
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); copy it again.") from None
    return found


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    beside = folder / "chat_template.jinja"
    template = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
    return template if isinstance(template, str) else None
