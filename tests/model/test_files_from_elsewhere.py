"""Every key of every JSON file of a model folder, put wrong in every way: what reads it computes, or says a sentence.

The folder is a tiny one of this version's own; what is done to it is what editors, converters and full disks do.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tests.small import small_folder

import centime
from centime.catalogue.hf import model_folder, read
from centime.catalogue.models import architecture
from centime.data.tokenizers import load_tokenizer
from centime.errors import UserError
from centime.model.gguf.vocabulary import read_vocabulary
from centime.plan.counts import count

INDEX = "model.safetensors.index.json"
FILES = ("config.json", INDEX, "tokenizer_config.json", "tokenizer.json", "generation_config.json")
GONE, HERE = object(), "@here@"
VALUES: list[Any] = [GONE, None, True, False, -1, 0, 1, 3, 0.5, 1e30, 2**64, -(2**70), "", "x", "64", [], [1], {}]
VALUES += [["a"], {"a": 1}, json.loads("[" * 90 + "]" * 90)]
# as they stand in the file: no writer of JSON makes these
TEXTS = ["NaN", "-Infinity", "1e999", "9" * 5000, "1" + "0" * 400, "[" * 10_000 + "]" * 10_000, '"\\ud800"', "0x1"]

# A size that may be is wrong by what the weights are, text that is no JSON by its line: both are said instead of a key.
ELSEWHERE = ("cannot be read as JSON", " lacks ", " has shape ", "has no place for")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with an index over its one file, and its tokenizer."""
    made = small_folder(tmp_path_factory.mktemp("model") / "m")
    with safe_open(str(made / "model.safetensors"), framework="pt") as file:
        weight_map = dict.fromkeys(file.keys(), "one.safetensors")
    (made / "model.safetensors").rename(made / "one.safetensors")
    (made / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return made


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value; of lists and of large objects the first few."""
    yield here
    if isinstance(value, dict):
        for name in list(value)[:60]:
            yield from paths(value[name], (*here, name))
    elif isinstance(value, list):
        for i in range(min(2, len(value))):
            yield from paths(value[i], (*here, i))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return None if value is GONE else value
    whole = copy.deepcopy(document)
    part = whole
    for step in place[:-1]:
        part = part[step]
    if value is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return whole


def reads(folder: Path, name: str) -> Iterator[tuple[str, Any]]:
    """Everything that reads a file of the folder."""
    if name == "config.json":
        yield "counts", lambda: count(read(model_folder(folder))[0], 64)
        yield "plan", lambda: architecture(str(folder))
    if "tokenizer" in name:
        yield "tokenizer", lambda: use_tokenizer(folder)
        yield "GGUF", lambda: read_vocabulary(folder, 400)
    else:
        yield "load", lambda: centime.load(folder)(torch.arange(8)[None])


def use_tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.decode(tokenizer.encode("the cat <｜User｜> é"))
    tokenizer.encode_documents(["the cat", "a"])
    assert len(tokenizer.sha256) == 64
    if tokenizer.chat_template is not None:
        tokenizer.render_chat([{"role": "user", "content": "hi"}], True)


def computes_or_says(folder: Path, name: str, place: tuple[Any, ...]) -> None:
    for _, read_it in reads(folder, name):
        try:
            read_it()
        except UserError as error:
            said = str(error)
            assert said.endswith(".") or "mend chat_template" in said, said
            assert str(folder) in said or "model_type" in said, said
            if place and name == "config.json" and not any(words in said for words in ELSEWHERE):
                assert str(place[0]) in said, said


def write_and_try(folder: Path, name: str, place: tuple[Any, ...], value: Any, text: str | None = None) -> None:
    """Puts `value`, or the bare `text`, at a place of a file; tries all its readers; puts the file back."""
    file = folder / name
    good = file.read_text(encoding="utf-8")
    try:
        document = changed(json.loads(good), place, value if text is None else HERE)
        content = json.dumps(document)
        file.write_text(content if text is None else content.replace(json.dumps(HERE), text))
        computes_or_says(folder, name, place)
    finally:
        file.write_text(good, encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_key_put_wrong_is_a_sentence(folder: Path, name: str) -> None:
    places = list(paths(json.loads((folder / name).read_text(encoding="utf-8"))))

    @settings(
        max_examples=5 if name == "generation_config.json" else 40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(places), st.sampled_from(VALUES) | st.integers(), st.none() | st.sampled_from(TEXTS))
    def try_one(place: tuple[Any, ...], value: Any, text: str | None) -> None:
        write_and_try(folder, name, place, value, text)

    try_one()


@pytest.mark.parametrize("name", FILES)
def test_bytes_that_are_no_json_are_a_sentence(folder: Path, name: str) -> None:
    file = folder / name
    good = file.read_bytes()
    broken = [good[: len(good) * part // 7] for part in range(7)]
    broken += [good.decode().encode("utf-16"), b"\xff" + good, b"\0" * len(good), good + b"}", b"[]", b'"text"', b"7"]
    try:
        for content in broken:
            file.write_bytes(content)
            computes_or_says(folder, name, ())
        file.write_bytes(b"\xef\xbb\xbf" + good)  # as editors leave it
        for _, read_it in reads(folder, name):
            read_it()
    finally:
        file.write_bytes(good)


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_every_key_put_wrong_in_every_way_is_a_sentence(folder: Path, name: str) -> None:
    for place in paths(json.loads((folder / name).read_text(encoding="utf-8"))):
        for value in VALUES:
            write_and_try(folder, name, place, value)
        for text in TEXTS:
            write_and_try(folder, name, place, None, text)
