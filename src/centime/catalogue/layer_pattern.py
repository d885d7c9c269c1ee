"""A model's layers as models.csv writes them, 'LD*3 LE*58', '(WE AE)*18', 'S E S E S A E', and as blocks.

A layer is a mixer, a feed-forward or both. Mixers: A attention, W attention within the window, L latent attention,
K the same with the keys that the indexer of a layer before it chose, S state space, C0 C4 C128 compressed attention (of
so many positions; 0: the window alone). Feed-forwards: D dense, with a width of its own where one follows (D7168), E
experts. `*n` repeats a layer or a group in parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from centime.catalogue.architecture import (
    CompressedAttention,
    ExpertsSpec,
    FeedForwardSpec,
    LatentAttention,
    LayerGroup,
    Mixer,
    SoftmaxAttention,
    StateSpace,
)

_TOKEN = re.compile(r"\(|\)(?:\*(\d+))?|([AWLKS]|C\d+)?([DE]\d*)?(?:\*(\d+))?\s*")


def parse_pattern(text: str) -> list[str]:
    """Every layer's letters in order: '(WE AE)*2' -> ['WE', 'AE', 'WE', 'AE']. Raises ValueError on anything else."""
    groups: list[list[str]] = [[]]
    at = 0
    text = text.strip()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if not match or not match[0].strip():
            raise ValueError(
                f"layer pattern {text!r}: {text[at:]!r} is no layer; a layer is such as AD, LE*58 or (WE AE)*18"
            )
        at = match.end()
        if match[0] == "(":
            groups.append([])
        elif match[0].startswith(")"):
            if len(groups) == 1:
                raise ValueError(f"layer pattern {text!r}: a parenthesis closes that was not opened")
            inner = groups.pop()
            groups[-1] += inner * int(match[1] or 1)
        else:
            groups[-1] += [(match[2] or "") + (match[3] or "")] * int(match[4] or 1)
    if len(groups) > 1:
        raise ValueError(f"layer pattern {text!r}: a parenthesis is not closed")
    if not groups[0]:
        raise ValueError("a layer pattern is empty; it names at least one layer, such as AD*32")
    return groups[0]


def blocks_of(pattern: str, sizes: Mapping[str, float]) -> tuple[LayerGroup, ...]:
    """The blocks that a layer pattern and a row's sizes describe, gathered by kind in order of first appearance.

    Raises ValueError on a pattern that is none, KeyError on a size that it needs.
    """
    repeats: dict[str, int] = {}
    for layer in parse_pattern(pattern):
        repeats[layer] = repeats.get(layer, 0) + 1
    found = []
    for layer, repeat in repeats.items():
        match = re.fullmatch(r"(C\d+|[AWLKS])?(D\d*|E)?", layer)
        assert match is not None  # parse_pattern's letters
        mixer = _mixer(match[1], sizes) if match[1] else None
        feed_forward = _feed_forward(match[2], sizes) if match[2] else None
        found.append(LayerGroup(mixer, feed_forward, repeat))
    return tuple(found)


def _whole(sizes: Mapping[str, float], key: str) -> int | None:
    return int(sizes[key]) if key in sizes else None


def _mixer(letter: str, sizes: Mapping[str, float]) -> Mixer:
    if letter in "AW":
        windowed = letter == "W"
        heads = int(sizes.get("window_heads", sizes["heads"]) if windowed else sizes["heads"])
        kv_heads = int(sizes.get("kv_heads", heads))
        head_dim = int(sizes["head_dim"] if "head_dim" in sizes else sizes["hidden"] // sizes["heads"])
        if windowed:
            kv_heads = int(sizes.get("window_kv_heads", kv_heads))
            head_dim = int(sizes.get("window_head_dim", head_dim))
        return SoftmaxAttention(
            heads,
            kv_heads,
            head_dim,
            window=int(sizes["window"]) if windowed else None,
            output_gate=bool(sizes.get("output_gate")),
            bias=bool(sizes.get("bias")),
            value_dim=_whole(sizes, "value_dim"),
        )
    if letter in "LK":
        return LatentAttention(
            int(sizes["heads"]),
            _whole(sizes, "q_rank"),
            int(sizes["kv_rank"]),
            int(sizes["nope_dim"]),
            int(sizes["rope_dim"]),
            int(sizes["value_dim"]),
            _whole(sizes, "index_topk"),
            int(sizes.get("index_heads", 0)) if letter == "L" else 0,
            int(sizes.get("index_dim", 0)) if letter == "L" else 0,
            output_gate=bool(sizes.get("output_gate")),
        )
    if letter == "S":
        return StateSpace(
            int(sizes["ssm_heads"]),
            int(sizes["ssm_head_dim"]),
            int(sizes["ssm_state"]),
            int(sizes["ssm_groups"]),
            delta=bool(sizes.get("delta")),
        )
    compression = int(letter[1:])
    picks = 0 < compression < 64  # V4: an indexer on the lightly compressed layers (4), none on the heavily (128)
    return CompressedAttention(
        int(sizes["heads"]),
        int(sizes["q_rank"]),
        int(sizes["head_dim"]),
        int(sizes["window"]),
        int(sizes["index_topk"]) if picks else None,
        compression,
        int(sizes["index_heads"]) if picks else 0,
        int(sizes["index_dim"]) if picks else 0,
        int(sizes["out_groups"]),
        int(sizes["out_rank"]),
    )


def _feed_forward(letter: str, sizes: Mapping[str, float]) -> FeedForwardSpec | ExpertsSpec:
    gated = bool(sizes.get("gated", 1))
    if letter.startswith("D"):
        return FeedForwardSpec(int(letter[1:] or sizes["ffn"]), gated)
    return ExpertsSpec(
        int(sizes["experts"]),
        int(sizes["top_k"]),
        int(sizes["expert_width"]),
        int(sizes.get("shared_width", 0)),
        gated,
        _whole(sizes, "latent_dim"),
        bool(sizes.get("correction_bias")),
        int(sizes.get("groups", 1)),
        int(sizes.get("top_groups", 1)),
        bias=bool(sizes.get("bias")),
    )
