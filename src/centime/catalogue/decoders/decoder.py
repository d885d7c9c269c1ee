"""A whole decoder from its config.json: embedding, layers gathered by kind, head, prediction modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from centime.catalogue.architecture import Architecture, Encoder, LayerGroup, Mixer
from centime.catalogue.decoders.block_configs import pruned_layers
from centime.catalogue.decoders.encoders import encoder_parameters
from centime.catalogue.decoders.feed_forwards import UNGATED, FeedForward, doubled_layer, feed_forwards_of
from centime.catalogue.decoders.keys import EXPERTS, MOST_LAYERS, ConfigKeys
from centime.catalogue.decoders.layer_kinds import LayerKind, layer_kinds, single_parts
from centime.catalogue.decoders.mixers import mixers_of
from centime.catalogue.decoders.stored_weights import stored_weights
from centime.catalogue.decoders.unread import refuse_uncounted, refuse_unread
from centime.json_files import read_object
from centime.messages import said

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
_VOCAB = ("vocab_size", "padded_vocab_size")
_MTP = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules", "mtp_num_layers")
# Parts that hold a decoder within a model of several kinds of input.
_TEXT = ("text_config", "llm_config", "language_config", "thinker_config", "language_model")
_ENCODERS = ("vision_config", "audio_config", "vision_tower", "speech_config")
# Families that use one matrix for embedding and head where the file says nothing.
_TIED = frozenset(
    {
        *("gemma3n", "gemma3n_text"),
        *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma4", "gemma4_text", "gpt2", "gpt_neo", "gpt_bigcode", "opt"),
        *("bloom", "falcon", "cohere", "cohere2", "mpt", "starcoder2", "xglm", "biogpt", "mamba", "mamba2", "lfm2"),
        *("lfm2_moe", "falcon_mamba", "gpt-sw3"),
    }
)  # fmt: skip
# Families with a learned table of positions, and how many rows it has beyond them.
_POSITIONS = {"gpt2": 0, "gpt_neo": 0, "gpt_bigcode": 0, "gpt-sw3": 0, "openai-gpt": 0, "opt": 2, "biogpt": 2}
_BIASED_NORMS = UNGATED - {"nemotron", "arcee", "mpt", "nanochat", "falcon", "apertus", "gptj", "codegen"}


def read_architecture(path: Path, name: str = "") -> Architecture:
    """The decoder that a config.json describes. Raises UserError on a file that is none, and as `architecture_of`."""
    return architecture_of(read_object(path, infinite=True), name, str(path))


def architecture_of(raw: Mapping[str, Any], name: str = "", where: str = "config.json") -> Architecture:
    """The decoder that a config.json's content describes; of a model of several kinds of input, the language model.

    where: the file, for sentences. Raises UserError naming the key that is missing, wrong, or not counted, or the first
    one that may change a size and that nobody read.
    """
    outer = ConfigKeys(raw, where)
    inside = next((inner for key in _TEXT if (inner := outer.inner(key)) is not None), None)
    keys = inside or outer
    refuse_uncounted(keys)
    family = keys.text("model_type") or outer.text("model_type")
    listed = keys.words("layers_block_type") or keys.words("layer_types")
    layers, hidden = keys.size(*_LAYERS, default=len(listed) or None), keys.size(*_HIDDEN)
    if layers > MOST_LAYERS:  # each is looked at
        raise keys.refused(_LAYERS, layers, f"at most {MOST_LAYERS:,} layers")
    mixers, parts = _every_layer(keys, layers, hidden)
    repeats: dict[LayerGroup, int] = {}
    doubled = family == "longcat_flash"
    for several, part in zip(mixers, parts, strict=True):
        last = several[-1] if several else None
        groups = [LayerGroup(mixer, None) for mixer in several[:-1]] + [LayerGroup(last, part)]
        for group in doubled_layer(keys, last, part) if doubled else groups:
            repeats[group] = repeats.get(group, 0) + 1
    if keys.size("word_embed_proj_dim", default=hidden) != hidden:  # OPT-350m's
        raise keys.refused(("word_embed_proj_dim",), keys.get("word_embed_proj_dim"), f"hidden_size, {hidden}")
    tied = keys.flag("tie_word_embeddings", "tie_embedding", default=family in _TIED)
    positions = keys.size("n_positions", "max_position_embeddings") if family in _POSITIONS else 0
    layer_inputs = keys.whole("hidden_size_per_layer_input", default=0) or 0
    arch = Architecture(
        name=name,
        hidden=hidden,
        vocab=keys.size(*_VOCAB),
        blocks=tuple(LayerGroup(group.mixer, group.feed_forward, repeat) for group, repeat in repeats.items()),
        tied=outer.flag("tie_word_embeddings", default=tied) if inside is not None else tied,
        mtp_modules=keys.whole(*_MTP, default=0) or 0,
        mtp_blocks=_prediction_blocks(keys, hidden),
        layer_inputs=layer_inputs,
        layer_vocab=keys.size("vocab_size_per_layer_input", *_VOCAB) if layer_inputs else 0,
        alternating=keys.size("altup_num_inputs", default=1),
        side_rank=keys.whole("laurel_rank", default=0) or 0,
        learned_positions=positions + _POSITIONS[family] if positions else 0,
        streams=keys.whole("hc_mult", default=1) or 1,
        source="its configuration",
        assumptions=tuple(_left_out(outer, keys)),
        encoders=encoders_of(outer, keys),
        stored=stored_weights(outer, keys),
        norm_bias=family in _BIASED_NORMS,
    )
    refuse_unread(keys, family.removesuffix("_text"), family in UNGATED)
    return arch


def _every_layer(keys: ConfigKeys, layers: int, hidden: int) -> tuple[list[tuple[Mixer, ...]], list[FeedForward]]:
    pruned = pruned_layers(keys, layers, hidden)
    if pruned:
        return [() if mixer is None else (mixer,) for mixer, _ in pruned], [part for _, part in pruned]
    kinds = layer_kinds(keys, layers)
    mixers, parts = _layers(keys, kinds, hidden)
    for layer, own in _overrides(keys, layers):
        some, others = _layers(own, kinds, hidden)
        mixers[layer], parts[layer] = some[layer], others[layer]
    return mixers, parts


def _layers(keys: ConfigKeys, kinds: list[LayerKind], hidden: int) -> tuple[list[tuple[Mixer, ...]], list[FeedForward]]:
    return (
        mixers_of(keys, [kind.mixer for kind in kinds], hidden),
        feed_forwards_of(keys, [kind.feed_forward for kind in kinds], hidden),
    )


def _overrides(keys: ConfigKeys, layers: int) -> Iterator[tuple[int, ConfigKeys]]:
    """The layers that have keys of their own (transformers' per_layer_config), and all keys as they hold there."""
    own = keys.inner("per_layer_config")
    for name in own.raw if own is not None else ():
        assert own is not None
        inner = own.inner(name)
        if not re.fullmatch(r"[0-9]{1,6}", name) or int(name) >= layers or inner is None:
            raise own.refused((name,), own.raw[name], f"an object under the number of one of the {layers} layers")
        yield int(name), ConfigKeys({**keys.raw, **inner.raw}, keys.where, f"{own.within}{name}: ")


def _prediction_blocks(keys: ConfigKeys, hidden: int) -> tuple[LayerGroup, ...]:
    """The layers of a prediction module where they are listed (Nemotron 3); none where it is one like the last."""
    words = keys.words("mtp_layers_block_type")
    if not words:
        return ()
    kinds = single_parts(keys, "mtp_layers_block_type", words)
    mixers, parts = _layers(keys, kinds, hidden)
    return tuple(LayerGroup(some[0] if some else None, part) for some, part in zip(mixers, parts, strict=True))


def encoders_of(outer: ConfigKeys, keys: ConfigKeys) -> tuple[Encoder, ...]:
    """What encodes images and sounds beside the decoder, where `keys` are those of a part of a model."""
    parts = [(key, outer.get(key)) for key in _ENCODERS] if keys is not outer else []
    family = outer.text("model_type") or ""
    return tuple(Encoder(key, encoder_parameters(raw, family)) for key, raw in parts if isinstance(raw, Mapping))


def _left_out(outer: ConfigKeys, keys: ConfigKeys) -> Iterator[str]:
    for one in encoders_of(outer, keys):
        if one.parameters is None:
            yield said("the language model alone, without {part}, which is not counted", part=one.part)
        else:
            yield said(
                "the language model alone, without {part} of {parameters:count4} parameters",
                part=one.part,
                parameters=one.parameters,
            )
    if keys.inner("sparse_attention_config") is not None:
        yield said("attention is counted dense")
    if keys.whole("index_topk_blocks"):  # MiniMax-M3: its keys' indexer has a thousandth of the model's parameters
        keys.get("index_n_heads", "index_head_dim", "index_block_size", "index_local_blocks")
        yield said("attention is counted dense")
    if keys.whole("altup_num_inputs"):
        yield said("the traffic of alternating streams is not counted, only their products")
    if zero := keys.whole("zero_expert_num"):
        yield said(
            "{zero:,} of the {all:,} experts that a token may choose compute nothing: it visits its share of the "
            "others",
            zero=zero,
            all=zero + keys.size(*EXPERTS),
        )
