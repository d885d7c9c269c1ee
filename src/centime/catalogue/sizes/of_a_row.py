"""An architecture from what a table of runs says of a model that nobody catalogued; every gap a stated assumption."""

from __future__ import annotations

import math
from collections.abc import Mapping

from centime.catalogue.architecture import Architecture, ExpertsSpec, FeedForwardSpec, LayerGroup, SoftmaxAttention
from centime.errors import UserError

_HIDDEN_PER_LAYER = 128  # width over depth of Llama 2 7B, Llama 3 8B (4,096 / 32) and PaLM's neighbours
_HEAD_DIM = 128
_VOCAB = 50_304  # GPT-2's 50,257 padded to a multiple of 64
_TOP_K = 8  # of V3, Qwen3 and Kimi K2


def estimate(text: Mapping[str, str]) -> Architecture:
    """The architecture of a row; see `centime.catalogue.models.from_sizes`. Raises UserError."""
    row = _SizesRow(text)
    notes: list[str] = []
    total, active = row.number("params_total_b", 1e9), row.number("params_active_b", 1e9)
    layers, hidden = row.whole("layers"), row.whole("hidden")
    if layers is None or hidden is None:
        if total is None:
            raise UserError(
                f"{row.name} is no model of the catalogue, and its row gives neither layers and hidden nor "
                "params_total_b; give those sizes, or one of the catalogue's names."
            )
        # 12 L D^2 parameters (2104.04473, equation 2) at D = 128 L; of a mixture, the part that a token visits
        depth = ((active or total) / (12 * _HIDDEN_PER_LAYER**2)) ** (1 / 3)
        layers = layers or max(1, round(depth))
        hidden = hidden or max(_HEAD_DIM, round(((active or total) / (12 * layers)) ** 0.5 / _HEAD_DIM) * _HEAD_DIM)
        notes.append(f"{row.name}: {layers} layers of {hidden}, assumed from its parameters as 12 L D^2 with D = 128 L")
    heads = row.whole("heads") or max(1, hidden // _HEAD_DIM)
    kv_heads = row.whole("kv_heads") or heads
    vocab = row.whole("vocab")
    if vocab is None:
        vocab = _VOCAB
        notes.append(f"{row.name}: a vocabulary of {vocab}, assumed")
    head_dim = max(1, hidden // heads) if "heads" in row.given else _HEAD_DIM
    mixer = SoftmaxAttention(heads, kv_heads, head_dim)
    attention = 2 * hidden * mixer.head_dim * (mixer.heads + mixer.kv_heads)
    rest = layers * attention + 2 * vocab * hidden  # parameters outside the feed-forwards; norms are too few to matter
    experts, top_k, ffn = row.whole("n_experts"), row.whole("topk"), row.whole("ffn")
    part: FeedForwardSpec | ExpertsSpec
    if experts or (total and active) or "moe" in row.given.get("arch", ""):
        part, note = _mixture(experts, top_k, ffn, total, active, layers * 3 * hidden, rest)
        notes += [f"{row.name}: {note}"] if note else []
    elif ffn:
        part = FeedForwardSpec(ffn, gated=ffn < 4 * hidden)  # two matrices are as a rule 4 D wide, three 8/3 D to 3.5 D
    elif total:
        part = FeedForwardSpec(max(1, round((total - rest) / (layers * 3 * hidden))))
        notes.append(f"{row.name}: a feed-forward of {part.width}, which brings it to {total / 1e9:.4g} B parameters")
    else:
        part = FeedForwardSpec(4 * hidden, gated=False)
        notes.append(f"{row.name}: a feed-forward of 4 D, assumed")
    return Architecture(
        row.name,
        hidden,
        vocab,
        (LayerGroup(mixer, part, layers),),
        published_params=total,
        published_active=active,
        source="its row",
        assumptions=tuple(notes),
    )


def _mixture(
    experts: int | None,
    top_k: int | None,
    width: int | None,
    total: float | None,
    active: float | None,
    per_width: int,
    rest: float,
) -> tuple[ExpertsSpec, str]:
    """Experts from what is known of them; `per_width` parameters per unit of width of one expert in every layer."""
    if experts and top_k and width:
        return ExpertsSpec(experts, min(top_k, experts), width), ""
    if total is None or (active is None and not experts):
        raise UserError(
            "A mixture of experts needs n_experts, topk and ffn, or params_total_b and params_active_b; "
            "add those columns."
        )
    if top_k is None and experts and active and active > rest:
        top_k = max(1, round(experts * (active - rest) / (total - rest)))
    top_k = top_k or min(_TOP_K, experts or _TOP_K)
    if width is None:
        width = max(1, round((active - rest) / (top_k * per_width))) if active and active > rest else 1
        if experts:  # the total is the better known of the two
            width = max(1, round((total - rest) / (experts * per_width)))
    experts = experts or max(top_k, round((total - rest) / (width * per_width)))
    note = f"the best {top_k} of {experts} experts of width {width}, assumed to come to {total / 1e9:.4g} B parameters"
    return ExpertsSpec(experts, min(top_k, experts), width), note


class _SizesRow:
    """The cells of a row as numbers."""

    def __init__(self, text: Mapping[str, str]) -> None:
        self.given = {key: value for key, value in text.items() if value}
        self.name = self.given.get("model", "the model")

    def number(self, key: str, scale: float = 1.0) -> float | None:
        if key not in self.given:
            return None
        try:
            value = float(self.given[key]) * scale
        except ValueError:
            raise UserError(f"{self.name}: {key} is {self.given[key]!r}; expected a number.") from None
        if not 0 < value < math.inf:
            raise UserError(f"{self.name}: {key} is {self.given[key]}; expected a finite number above 0.")
        return value

    def whole(self, key: str) -> int | None:
        value = self.number(key)
        return None if value is None else int(value)
