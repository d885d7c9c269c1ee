"""A damaged or foreign model folder is named by the file, the tensor and the number that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.model.tiny import SHAPES, TINY, build, rewrite
from torch import Tensor

import centime
from centime.errors import UserError


def index_of(**entries: object) -> Callable[[Path, dict[str, Tensor]], None]:
    """Makes the folder one with an index that maps every tensor as it should, but for `entries`."""

    def write(folder: Path, tensors: dict[str, Tensor]) -> None:
        (folder / "model.safetensors").rename(folder / "a.safetensors")
        weight_map = dict.fromkeys(tensors, "a.safetensors") | entries
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def no_map(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}')


def not_a_number(folder: Path, tensors: dict[str, Tensor]) -> None:
    tensors["model.layers.1.self_attn.o_proj.weight"][3, 4] = float("nan")
    rewrite(folder, tensors)


def header(**changes: object) -> Callable[[Path, dict[str, Tensor]], None]:
    """Rewrites one tensor's entry in the file's header."""

    def write(folder: Path, tensors: dict[str, Tensor]) -> None:
        content = (folder / "model.safetensors").read_bytes()
        size = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + size])
        entries["model.norm.weight"] |= changes
        text = json.dumps(entries).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])

    return write


def huge_header(folder: Path, tensors: dict[str, Tensor]) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + content[8:])


def folder_of_weights(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def dangling(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "gone")


Damage = Callable[[Path, dict[str, Tensor]], None]


def drop(folder: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(folder, {k: v for k, v in tensors.items() if k != "model.layers.1.mlp.experts.2.up_proj.weight"})


def add(folder: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(folder, tensors | {"model.layers.1.self_attn.indexer.wk.weight": torch.ones(2)})


def transpose(folder: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(folder, tensors | {"lm_head.weight": tensors["lm_head.weight"].T.contiguous()})


def integers(folder: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(folder, tensors | {"lm_head.weight": tensors["lm_head.weight"].to(torch.int64)})


def truncate(folder: Path, tensors: dict[str, Tensor]) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def empty(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").unlink()


def pickle_only(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def lost_shard(folder: Path, tensors: dict[str, Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def other_embedding(folder: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(folder, tensors | {"model.layers.3.embed_tokens.weight": tensors["model.embed_tokens.weight"] + 1})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (drop, r"lacks model\.layers\.1\.mlp\.experts\.2\.up_proj\.weight"),
        (add, r"model\.safetensors holds model\.layers\.1\.self_attn\.indexer\.wk\.weight"),
        (transpose, r"lm_head\.weight in .*model\.safetensors has shape \[24, 40\].*makes it \[40, 24\]"),
        (integers, r"lm_head\.weight in .* is stored as I64"),
        (truncate, r"model\.safetensors is damaged or incomplete"),
        (empty, "it has no weights"),
        (pickle_only, r"pytorch_model\.bin"),
        (lost_shard, r"model-00001-of-00001\.safetensors is named in .* but is not there"),
        (other_embedding, r"model\.layers\.3\.embed_tokens\.weight in .* differs"),
        (index_of(**{"lm_head.weight": 7}), r"index\.json puts lm_head\.weight into 7; expected the name of a"),
        (index_of(**{"lm_head.weight": None}), r"puts lm_head\.weight into null"),
        (index_of(**{"lm_head.weight": "."}), r'into "\."'),
        (index_of(**{"lm_head.weight": "../m/a.safetensors"}), r"in the same folder"),
        (index_of(**{"lm_head.weight": "/etc/passwd"}), r"in the same folder"),
        (index_of(**{"lm_head.weight": "config.json"}), r"config\.json is damaged or incomplete"),
        (
            index_of(**{"absent.weight": "a.safetensors"}),
            r"puts absent\.weight in .*a\.safetensors, which does not hold",
        ),
        (no_map, r"weight_map is \[\]; expected a file name"),
        (not_a_number, r"o_proj\.weight in .*model\.safetensors holds numbers that are not finite"),
        (header(dtype="F4"), "damaged or incomplete"),
        (header(shape=[2**40]), "damaged or incomplete"),
        (header(shape=[-1]), "damaged or incomplete"),
        (header(data_offsets=[0, 96]), "damaged or incomplete"),
        (huge_header, "damaged or incomplete"),
        (folder_of_weights, r"model\.safetensors is no file"),
        (dangling, r"model\.safetensors leads to a file that is not there"),
    ],
)
def test_a_damaged_folder_is_named(damage: Damage, says: str, tmp_path: Path) -> None:
    centime.save(build(SHAPES["mtp"]), tmp_path / "m")
    damage(tmp_path / "m", load_file(tmp_path / "m" / "model.safetensors"))
    with pytest.raises(UserError, match=says):
        centime.load(tmp_path / "m")


def test_a_tied_head_that_differs_is_named(tmp_path: Path) -> None:
    centime.save(build(SHAPES["tied"]), tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    rewrite(tmp_path / "m", tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    centime.load(tmp_path / "m")  # the same numbers twice
    rewrite(tmp_path / "m", tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1})
    with pytest.raises(UserError, match=r"lm_head\.weight in .* differs from the embedding.*tie_word_embeddings"):
        centime.load(tmp_path / "m")


def test_a_config_that_calls_for_millions_of_tensors_is_answered_at_once(tmp_path: Path) -> None:
    centime.save(build(TINY), tmp_path / "m")
    raw = json.loads((tmp_path / "m" / "config.json").read_text())
    raw |= {"num_hidden_layers": 10_000, "n_routed_experts": 2**16, "hidden_size": 2**20, "vocab_size": 2**24}
    (tmp_path / "m" / "config.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=r"lacks model\.layers\.1\.mlp\.experts\.3.* and at least 999 more"):
        centime.load(tmp_path / "m")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        centime.load(tmp_path / "absent")


def test_announced_mtp_without_weights_is_dropped_with_a_warning(tmp_path: Path) -> None:
    model = build(SHAPES["mtp"])
    centime.save(model, tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    rewrite(
        tmp_path / "m", {k: v for k, v in tensors.items() if not k.startswith(("model.layers.3.", "model.layers.4."))}
    )
    with pytest.warns(UserWarning, match="holds none"):
        back = centime.load(tmp_path / "m")
    assert back.config.num_nextn_predict_layers == 0
    ids = torch.arange(8).view(1, 8)
    assert torch.equal(back(ids), model(ids))
