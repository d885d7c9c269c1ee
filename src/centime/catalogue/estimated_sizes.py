"""An architecture from what a table of runs says of a model that nobody catalogued; every gap a stated assumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from centime.catalogue.architecture import Architecture, Block, Experts, FeedForward, SoftmaxAttention
from centime.errors import UserError

_HIDDEN_PER_LAYER = 128  # width over depth of Llama 2 7B, Llama 3 8B (4,096 / 32) and PaLM's neighbours
_HEAD_DIM = 128
_VOCAB = 50_304  # GPT-2's 50,257 padded to a multiple of 64
_FINE_EXPERT = 0.5  # a guess for an expert's width over D where neither sizes nor parameters say


def estimate(text: Mapping[str, str]) -> Architecture:
    """The architecture of a row; see `centime.catalogue.models.from_sizes`. Raises UserError."""
    row = _Row(text)
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
    experts, top_k = row.whole("n_experts"), row.whole("topk")
    ffn = row.whole("ffn")
    part: FeedForward | Experts
    if experts:
        top_k = top_k or 2
        part = Experts(experts, min(top_k, experts), ffn or round(_FINE_EXPERT * hidden))
    else:
        part = FeedForward(ffn or 4 * hidden, gated=ffn is None or ffn < 4 * hidden)
    if ffn is None:
        part, note = _with_width_for(part, total, layers, hidden, vocab, mixer)
        notes.append(f"{row.name}: {note}")
    return Architecture(
        row.name,
        hidden,
        vocab,
        (Block(mixer, part, layers),),
        published_params=total,
        published_active=active,
        source="its row",
        assumptions=tuple(notes),
    )


def _with_width_for(
    part: FeedForward | Experts, total: float | None, layers: int, hidden: int, vocab: int, mixer: SoftmaxAttention
) -> tuple[FeedForward | Experts, str]:
    """The feed-forward with the width that makes all parameters come to `total`; norms are too few to matter."""
    if total is None:
        return part, f"a feed-forward of {part.width}, assumed"
    attention = 2 * hidden * mixer.head_dim * (mixer.heads + mixer.kv_heads)
    matrices = (3 if part.gated else 2) * (part.experts if isinstance(part, Experts) else 1)
    width = max(1, round((total - 2 * vocab * hidden - layers * attention) / (layers * matrices * hidden)))
    return replace(part, width=width), f"a feed-forward of {width}, which brings it to {total / 1e9:.4g} B parameters"


class _Row:
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
        if not value > 0:
            raise UserError(f"{self.name}: {key} is {self.given[key]}; expected more than 0.")
        return value

    def whole(self, key: str) -> int | None:
        value = self.number(key)
        return None if value is None else int(value)
