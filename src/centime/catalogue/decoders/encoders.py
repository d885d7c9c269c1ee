"""Parameters of the encoders beside a decoder: of images and of sounds, from their part of config.json.

What is counted is the encoder as transformers builds it: patches or frames in, layers, norms, and the merger where it
is a part of it (Qwen's); a projector between an encoder and the decoder is not. A family, or a key, that is not known
here is not counted, and said to be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Sizes = Callable[..., int]
DEEP = (8, 16, 24)  # the layers of Qwen3-VL that have a merger of their own besides


class Unknown(Exception):
    """A size that the configuration does not say."""


def encoder_parameters(raw: Mapping[str, Any], outer: str) -> int | None:
    """Of a vision_config or audio_config in a model of the family `outer`; None where they cannot be counted."""

    def size(*names: str, default: int | None = None) -> int:
        value = next((raw[name] for name in names if raw.get(name) is not None), default)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
            raise Unknown
        return value

    family = (raw.get("model_type") or outer or "").removesuffix("_vision").removesuffix("_vision_model")
    family = family.removesuffix("_encoder")
    try:
        if family == "siglip" and isinstance(raw.get("vision_use_head", True), bool):
            return _siglip(size, raw.get("vision_use_head", True))
        if family == "clip" and "llava" in outer:  # others call by this name what they have changed (MiniMax-M3)
            return _clip(size)
        if len(raw.get("deepstack_visual_indexes") or DEEP) != len(DEEP):
            return None
        counted = _FAMILIES.get(family)
        return None if counted is None else counted(size)
    except Unknown:
        return None


def _patch(size: Sizes) -> int:
    """Numbers of a patch of an image."""
    return size("num_channels", "in_channels", "in_chans", default=3) * size("patch_size") ** 2


def _plain_layer(hidden: int, inner: int) -> int:
    """Attention, two matrices, two norms, biases everywhere."""
    return 4 * hidden * hidden + 4 * hidden + 2 * hidden * inner + hidden + inner + 4 * hidden


def _layers(size: Sizes) -> tuple[int, int, int]:
    return size("num_hidden_layers", "depth"), size("hidden_size"), size("intermediate_size")


def _siglip(size: Sizes, head: bool) -> int:
    layers, hidden, inner = _layers(size)
    places = (size("image_size") // size("patch_size")) ** 2
    body = hidden * _patch(size) + hidden + places * hidden + layers * _plain_layer(hidden, inner) + 2 * hidden
    return body + (_plain_layer(hidden, inner) - 2 * hidden + hidden if head else 0)  # one norm, and what it asks with


def _clip(size: Sizes) -> int:
    layers, hidden, inner = _layers(size)
    places = (size("image_size") // size("patch_size")) ** 2 + 1
    return hidden * _patch(size) + hidden + places * hidden + layers * _plain_layer(hidden, inner) + 4 * hidden


def _pixtral(size: Sizes) -> int:
    layers, hidden, inner = _layers(size)
    return hidden * _patch(size) + hidden + layers * (4 * hidden * hidden + 3 * hidden * inner + 2 * hidden)


def _qwen2_5(size: Sizes) -> int:
    layers, hidden, inner = _layers(size)
    wide = hidden * size("spatial_merge_size") ** 2
    layer = 4 * hidden * hidden + 4 * hidden + 3 * hidden * inner + 2 * inner + hidden + 2 * hidden
    merger = hidden + wide * wide + wide + wide * size("out_hidden_size") + size("out_hidden_size")
    return hidden * _patch(size) * size("temporal_patch_size") + layers * layer + merger


def _qwen3(size: Sizes, deep: int = 0) -> int:
    layers, hidden, inner = _layers(size)
    wide, out = hidden * size("spatial_merge_size") ** 2, size("out_hidden_size")
    merger = wide * wide + wide + wide * out + out
    patches = hidden * _patch(size) * size("temporal_patch_size") + hidden
    places = size("num_position_embeddings") * hidden
    mergers = merger + 2 * hidden + deep * (merger + 2 * wide)
    return patches + places + layers * _plain_layer(hidden, inner) + mergers


def _moonvit(size: Sizes) -> int:
    """Kimi K2.5's."""
    layers, hidden = size("vt_num_hidden_layers", "num_hidden_layers"), size("vt_hidden_size", "hidden_size")
    inner = size("vt_intermediate_size", "intermediate_size")
    places = size("init_pos_emb_height", "pos_emb_height") * size("init_pos_emb_width", "pos_emb_width")
    return hidden * _patch(size) + hidden + places * hidden + layers * _plain_layer(hidden, inner) + 2 * hidden


def _whisper(size: Sizes) -> int:
    """Two convolutions over the spectrum, positions, layers whose keys have no bias."""
    layers, hidden = size("encoder_layers", "num_hidden_layers"), size("d_model", "hidden_size")
    inner = size("encoder_ffn_dim", "intermediate_size")
    convolutions = 3 * hidden * (size("num_mel_bins") + hidden) + 2 * hidden
    places = size("max_source_positions") * hidden
    return convolutions + places + layers * (_plain_layer(hidden, inner) - hidden) + 2 * hidden


_FAMILIES: dict[str, Callable[[Sizes], int]] = {
    "pixtral": _pixtral,
    "qwen2_5_vl": _qwen2_5,
    "qwen3_vl": lambda size: _qwen3(size, len(DEEP)),
    "qwen3_vl_moe": lambda size: _qwen3(size, len(DEEP)),
    "qwen3_5": _qwen3,
    "qwen3_5_moe": _qwen3,
    "kimi_k25": _moonvit,
    "qwen2_audio": _whisper,
    "voxtral": _whisper,
}
