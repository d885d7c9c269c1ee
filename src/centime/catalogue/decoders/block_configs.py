"""Layers that a search has pruned one by one (Nemotron-NAS, DeciLM): `block_configs` gives each its own sizes."""

from __future__ import annotations

import math
from typing import Any

from centime.catalogue.architecture import FeedForwardSpec, SoftmaxAttention
from centime.catalogue.decoders.keys import ConfigKeys


def pruned_layers(
    keys: ConfigKeys, layers: int, hidden: int
) -> list[tuple[SoftmaxAttention | None, FeedForwardSpec | None]]:
    """The mixer and the feed-forward of every layer; empty where the file has no block_configs.

    Raises UserError on parts that are replaced by one matrix, which are not counted.
    """
    keys.get("num_key_value_heads", "intermediate_size")  # written beside, of the model before it was pruned
    blocks = keys.get("block_configs")
    if blocks is None:
        return []
    if not isinstance(blocks, list) or len(blocks) != layers or not all(isinstance(block, dict) for block in blocks):
        raise keys.refused(("block_configs",), blocks, f"one object for each of the {layers} layers")
    return [_layer(keys, f"block_configs.{index}.", block, hidden) for index, block in enumerate(blocks)]


def _layer(
    keys: ConfigKeys, within: str, block: dict[str, Any], hidden: int
) -> tuple[SoftmaxAttention | None, FeedForwardSpec | None]:
    both = ConfigKeys(block, keys.where, f"{keys.within}{within}")
    attention, feed_forward = both.inner("attention"), both.inner("ffn")
    mixer, part = None, None
    for inner in (attention, feed_forward):
        if inner is not None and inner.flag("replace_with_linear"):
            raise inner.refused(("replace_with_linear",), True, "false; a part replaced by one matrix is not counted")
    if attention is not None and not attention.flag("no_op"):
        heads = keys.size("num_attention_heads")
        head_dim = keys.size("head_dim", default=max(1, hidden // heads))
        window = attention.whole("window_length") or None
        mixer = SoftmaxAttention(heads, max(1, heads // attention.size("n_heads_in_group")), head_dim, window=window)
    if feed_forward is not None and not feed_forward.flag("no_op"):
        times = feed_forward.get("ffn_mult")
        if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times <= 1024:
            raise feed_forward.refused(("ffn_mult",), times, "a number above 0")
        part = FeedForwardSpec(256 * math.ceil(int(2 * times * hidden / 3) / 256))  # as DeciLM's code rounds
    return mixer, part
