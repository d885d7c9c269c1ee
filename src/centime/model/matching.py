"""A folder's tensors against what its config.json calls for, by their files' headers alone: names, shapes, types."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.model.names import Slot, copies, slots, stacked_experts
from centime.model.tensor_files import Stored, TensorFiles

_PLAIN = {"F32", "BF16", "F16"}
_ENOUGH = 1000  # missing names after which no more are counted: a wrong config.json may call for millions


def match_names(
    config: ModelConfig, present: Mapping[str, Stored], files: TensorFiles
) -> tuple[dict[str, Slot], dict[str, Slot]]:
    """Tensor names to read into the model, and those that must repeat one of its tensors.

    `present` has quantised matrices under the names of plain ones. Takes as long as the folder has tensors, whatever
    the configuration asks for: it comes before a model is built.
    Raises UserError when a tensor is missing or unexpected.
    """
    stacked = {slot.ours: slot for slot in stacked_experts(config) if slot.disk in present}
    wanted = {slot.disk: slot for slot in stacked.values()}
    missing: list[str] = []
    for slot in slots(config):
        if slot.disk in present:
            wanted[slot.disk] = slot
        elif slot.ours not in stacked:
            missing.append(slot.disk)
            if len(missing) == _ENOUGH:
                break
    if missing:
        raise UserError(
            f"{files.folder} lacks {_some(missing)}, which its config.json calls for; copy the missing shard, or "
            "correct config.json."
        )
    optional = {slot.disk: slot for slot in copies(config)}
    if config.tie_word_embeddings:
        optional["lm_head.weight"] = Slot("lm_head.weight", "embed.weight")
    repeated = {name: slot for name, slot in optional.items() if name in present}
    known = wanted.keys() | repeated.keys()
    if unexpected := [name for name in present if name not in known and not name.endswith("rotary_emb.inv_freq")]:
        raise UserError(
            f"{files.folder / files.file_of[unexpected[0]]} holds {_some(unexpected)}, which a model of this "
            "config.json has no place for; correct config.json, or remove the tensor."
        )
    return wanted, repeated


def check_shape(where: str, expected: tuple[int, ...], found: Stored) -> None:
    """Raises UserError where a plain tensor's shape, or the type it is stored in, is not what the model takes."""
    shape, stored = found
    if shape != expected:
        raise UserError(f"{where} has shape {list(shape)}; config.json makes it {list(expected)}.")
    if stored not in _PLAIN:
        raise UserError(f"{where} is stored as {stored}; centime reads {', '.join(sorted(_PLAIN))} and quantised ones.")


def target(state: Mapping[str, Tensor], slot: Slot) -> Tensor:
    """The part of the model's state that `slot` fills, in the shape it has on disk."""
    tensor = state[slot.ours]
    if slot.disk.endswith(".gate_up_proj"):  # stacked by transformers: [E, 2F, D]
        return tensor.flatten(1, 2)
    return tensor[slot.index]


def _some(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{names[0]} and {'at least ' if len(names) == _ENOUGH else ''}{len(names) - 1:,} more"
