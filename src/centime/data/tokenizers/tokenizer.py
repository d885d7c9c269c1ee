"""A tokenizer folder as DeepSeek ships it: tokenizer.json, tokenizer_config.json, and perhaps chat_template.jinja."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from centime.catalogue.hf import read_config, read_template
from centime.data.tokenizers.chat import Message, render
from centime.errors import UserError
from centime.json_files import read_object, read_text

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
USER, ASSISTANT, EOT = "<｜User｜>", "<｜Assistant｜>", "<|EOT|>"
"""DeepSeek-V3's names, as its tokenizer.json spells them (full-width bars, U+FF5C, and U+2581 for the blanks)."""

MAX_ID = 1 << 24
"""Ids are below it, as a model's vocab_size is: tables are made of all up to the largest."""

CHUNK = 1 << 16
"""Characters from which a text is cut before it is encoded: the library's memory grows with the longest text."""

SEARCHED = 1 << 18
"""Characters in which a seam is searched at a time: some hundredths of a second."""

GROUP = 64
"""Pieces encoded at a time: the library's encodings take over a hundred bytes a token until their ids are taken out."""

# A place where every pre-tokenizer of the DeepSeek family cuts anyway: after a line end that no blank follows, before a
# single blank between a non-blank and a letter, or between a Chinese full stop or comma and a Chinese character.
# Cutting a text there first leaves its tokens as they were.
_SEAM = re.compile(r"(?<=\n)(?=\S)|(?<=\S)(?= [A-Za-z])|(?<=[。，])(?=[一-龥])")


def seams(text: str, size: int = CHUNK) -> list[str]:
    """Cut a long text into pieces of at least `size` characters whose tokens, joined, are the tokens of the whole."""
    pieces, start = [], 0
    while len(text) - start > 2 * size:
        cut = _next_seam(text, start + size)
        if cut is None or cut >= len(text):
            break
        pieces.append(text[start:cut])
        start = cut
    pieces.append(text[start:])
    return pieces


def _next_seam(text: str, start: int) -> int | None:
    """The first seam from `start` on, searched a stretch at a time: a search lets no other thread run, nor a signal."""
    for at in range(start, len(text), SEARCHED):
        found = _SEAM.search(text, at, at + SEARCHED + 2)  # a seam is told by two characters after it at most
        if found and found.start() < at + SEARCHED:
            return found.start()
    return None


class Tokenizer:
    """Text to ids and back. Build it with `load_tokenizer`."""

    def __init__(
        self, folder: Path, backend: tokenizers.Tokenizer, config: dict[str, Any], template: str | None
    ) -> None:
        self.folder = folder
        self.config = config
        self.chat_template = template
        self._backend = backend
        self.vocab_size: int = max(backend.get_vocab().values(), default=-1) + 1
        """One more than the largest id, added tokens included: the least a model's vocab_size may be."""
        self.bos_token, self.bos_id = self._named("bos_token", BOS)
        self.eos_token, eos_id = self._named("eos_token", EOS)
        if eos_id is None:
            raise UserError(
                f"{folder} names no end-of-sentence token; expected eos_token in its tokenizer_config.json: "
                "add it, or copy tokenizer_config.json from the folder that the tokenizer comes from."
            )
        self.eos_id: int = eos_id
        pad_id = self.token_id(PAD)
        self.pad_id: int = eos_id if pad_id is None else pad_id

    def _named(self, key: str, usual: str) -> tuple[str | None, int | None]:
        """The token that the configuration calls `key`, or DeepSeek's usual one where it is silent, with its id."""
        entry = self.config.get(key, usual)
        word = entry.get("content") if isinstance(entry, dict) else entry
        return (word, self._backend.token_to_id(word)) if isinstance(word, str) else (None, None)

    @property
    def begins_texts(self) -> bool:
        """Whether the folder has programs put the begin token before every text: add_bos_token, or a template."""
        if self.bos_id is None:
            return False
        said = self.config.get("add_bos_token")
        return self._backend.encode("").ids[:1] == [self.bos_id] if said is None else bool(said)

    def token_id(self, token: str) -> int | None:
        """The id of a token by its exact name, or None."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def token_bytes(self, token_id: int) -> str | None:
        """The vocabulary's own spelling of an id (byte-level: one visible character per byte), or None."""
        found: str | None = self._backend.id_to_token(token_id)
        return found

    def encode(self, text: str, *, parse_special: bool = True) -> list[int]:
        """Ids of a text, with no begin or end token added.

        With `parse_special` a special token spelled in the text becomes that token, which a rendered chat needs. Text
        from outside (documents) is encoded with parse_special=False: there '<｜User｜>' is nine ordinary characters.
        """
        backend = self._backend if parse_special else self._plain
        # a batch of one: other threads run meanwhile, whom a plain `encode` would hold up for seconds a megabyte
        [encoding] = self._encoded(backend, [_sound(text)])
        ids: list[int] = encoding.ids
        return ids

    def _encoded(self, backend: tokenizers.Tokenizer, texts: list[str]) -> list[tokenizers.Encoding]:
        """Raises UserError where the vocabulary has no token for a text, nor one for what is unknown."""
        try:
            return list(backend.encode_batch_fast(texts, add_special_tokens=False))
        except Exception as error:  # the library raises no other class
            raise UserError(
                f"{self.folder / 'tokenizer.json'} cannot encode a text ({error}); give a tokenizer that takes any "
                "text, such as `centime tokenizer train` makes."
            ) from error

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As encode, special tokens parsed, for many short texts at once, on all cores."""
        sound = [_sound(text) for text in texts]
        return [encoding.ids for encoding in self._encoded(self._backend, sound)]

    def encode_documents(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """Ids of many texts from outside: as encode(text, parse_special=False), long texts in bounded memory."""
        pieces, owner = [], []
        for number, text in enumerate(texts):
            for piece in seams(_sound(text)):
                pieces.append(piece)
                owner.append(number)
        rows: list[list[npt.NDArray[np.uint32]]] = [[] for _ in texts]
        for start in range(0, len(pieces), GROUP):
            encodings = self._encoded(self._plain, pieces[start : start + GROUP])
            for number, encoding in zip(owner[start : start + GROUP], encodings, strict=True):
                rows[number].append(np.array(encoding.ids, dtype=np.uint32))
        return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in rows]

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of some ids; bytes that are no valid UTF-8 (half a character) come out as U+FFFD."""
        text: str = self._backend.decode([int(i) for i in ids], skip_special_tokens=skip_special)
        return text

    def render_chat(
        self, messages: Sequence[Message], add_generation_prompt: bool = False, tools: Sequence[Any] = ()
    ) -> str:
        """The text of [{"role", "content"}, ...] under the folder's chat template; UserError where it has none."""
        if self.chat_template is None:
            raise UserError(
                f"{self.folder} has no chat template; expected chat_template in its tokenizer_config.json or a "
                "chat_template.jinja beside it. Add one, or use a tokenizer made by `centime tokenizer train`."
            )
        return render(
            self.chat_template,
            messages,
            add_generation_prompt=add_generation_prompt,
            where=str(self.folder),
            bos_token=self.bos_token or "",
            eos_token=self.eos_token,
            **({"tools": list(tools)} if tools else {}),
        )

    def differs_from(self, other: Tokenizer) -> str | None:
        """A token of `other` that has another id here, or none; None where this one only adds to it."""
        if self.sha256 == other.sha256:
            return None
        own: dict[str, int] = self._backend.get_vocab()
        return next((token for token, id_ in other._backend.get_vocab().items() if own.get(token) != id_), None)

    @cached_property
    def controls(self) -> frozenset[str]:
        """The names of the control tokens, which only a rendered chat may spell.

        Those marked special, and those written as tags or between bars (DeepSeek marks <｜User｜>, <think> and V4's
        ｜DSML｜ as ordinary words).
        """
        added = self._backend.get_added_tokens_decoder().values()
        return frozenset(t.content for t in added if t.special or t.content.startswith(("<", "｜")))

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """The same tokenizer, blind to the control tokens that a text may spell."""
        described = json.loads(self._backend.to_str())
        for token in described.get("added_tokens", []):
            token["special"] = token["content"] in self.controls
        backend = _backend(json.dumps(described), self.folder / "tokenizer.json")
        backend.encode_special_tokens = True
        return backend

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end an answer: `eos_id`, and those that the folder's generation_config.json names beside it.

        Llama 3 and Qwen end a turn by one token and a document by another, and list both there.
        """
        file = self.folder / "generation_config.json"
        named = read_object(file).get("eos_token_id") if file.is_file() else None
        return frozenset({self.eos_id, *(i for i in (named if isinstance(named, list) else [named]) if type(i) is int)})

    @cached_property
    def sha256(self) -> str:
        """Hash of what decides the ids: vocabulary, merges, added tokens, normalizer and pre-tokenizer.

        Not of the file's bytes: other libraries write the same tokenizer with other spacing.
        """
        described = read_object(self.folder / "tokenizer.json")
        model = described["model"]
        merges = [m.split(" ", 1) if isinstance(m, str) else m for m in model.get("merges", [])]
        vocabulary = model.get("vocab", {})
        added = sorted((t["id"], t["content"]) for t in described.get("added_tokens", []))
        if isinstance(vocabulary, dict):  # some writers repeat the added tokens in the vocabulary, some do not
            vocabulary = sorted({*((i, t) for t, i in vocabulary.items()), *added})
        rules = [described.get("normalizer"), described.get("pre_tokenizer")]
        canonical = json.dumps([vocabulary, merges, added, rules], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _sound(text: str) -> str:
    """The text, or with '?' for lone surrogates, which no UTF-8 text can hold and the library refuses."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _backend(text: str, file: Path) -> tokenizers.Tokenizer:
    """The library's own object of a tokenizer.json's text."""
    try:
        backend = tokenizers.Tokenizer.from_str(text)
        largest = max(backend.get_vocab().values(), default=-1)
    except BaseException as error:  # the library raises bare Exception, and a panic of Rust's is not even that
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise UserError(
            f"{file} is not a tokenizer that the tokenizers library can read ({error}); "
            "copy it again from where it came, or make one with `centime tokenizer train`."
        ) from error
    if largest >= MAX_ID:
        raise UserError(f"{file} has a token of id {largest:,}; ids go up to {MAX_ID - 1:,}.")
    return backend


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Read a tokenizer folder (or a model folder that holds one).

    Raises UserError when tokenizer.json is absent or unreadable, or when no end-of-sentence token is named.
    """
    folder = Path(folder)
    file = folder / "tokenizer.json"
    if not file.is_file():
        found = "no tokenizer.json in it" if folder.is_dir() else "no such folder"
        raise UserError(
            f"{folder} is no tokenizer folder ({found}); expected tokenizer.json and tokenizer_config.json. "
            "Make one with `centime tokenizer train`, or give the folder of a DeepSeek model."
        )
    backend = _backend(read_text(file), file)
    backend.no_truncation()
    backend.no_padding()
    config = read_config(folder)
    return Tokenizer(folder, backend, config, read_template(folder, config))
