"""Sizes that a person states in a line, '8B' or '16B-A3B,layers=27,hidden=2048,experts=64', read and held together.

The first word, if it has no '=', is what models are called by: parameters in all, and those that a token uses, input
embedding included. What the line leaves open `derived` fills in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from centime.errors import UserError, nearest
from centime.units import format_count

_NAME = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT])(?:-A(\d+(?:\.\d+)?)\s*([KMBT]))?", re.IGNORECASE)
_SCALE = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
LEAST_PARAMS, MOST_PARAMS = 1e6, 1e15  # of a model that anybody trains

# key -> (least, most); a little above the largest published, so that whatever they allow is counted at once
_BOUNDS = {
    "layers": (1, 10_000),
    "hidden": (8, 2**20),
    "heads": (1, 2**16),
    "kv_heads": (1, 2**16),
    "head_dim": (1, 2**16),
    "ffn": (1, 2**20),
    "vocab": (1, 2**24),
    "experts": (2, 2**16),
    "topk": (1, 2**16),
    "expert_width": (1, 2**20),
    "shared_width": (0, 2**20),
    "dense_layers": (0, 10_000),
}
KEYS = (*_BOUNDS, "attention")
_OTHER_WORDS = {"top_k": "topk", "n_experts": "experts", "kv": "kv_heads", "n_layers": "layers", "d_model": "hidden"}
_MIXTURES = ("experts", "topk", "expert_width", "shared_width", "dense_layers")


@dataclass(frozen=True)
class StatedSizes:
    """What a line says of a model; None where it says nothing. Parameters in elements, widths and heads as in a plan.

    latent: attention is multi-head latent attention, as in DeepSeek-V3.
    """

    name: str  # the line as it was written
    total: float | None = None
    active: float | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    ffn: int | None = None  # width of a dense feed-forward
    vocab: int | None = None
    experts: int | None = None
    topk: int | None = None
    expert_width: int | None = None
    shared_width: int | None = None  # of all shared experts together
    dense_layers: int | None = None  # the first layers of a mixture, without experts
    latent: bool = False

    @property
    def is_mixture(self) -> bool:
        """Whether anything that is said speaks of experts."""
        return self.active is not None or any(getattr(self, key) is not None for key in _MIXTURES)

    @property
    def given(self) -> str:
        """The keys that are given, for a sentence: 'layers=27,hidden=2048'."""
        found = [(field.name, getattr(self, field.name)) for field in fields(self) if field.name in _BOUNDS]
        return ",".join(f"{key}={value}" for key, value in found if value is not None)


def is_stated(text: str) -> bool:
    """Whether a model's name is a line of sizes: '8B', '16B-A3B,layers=27' or 'layers=27,...'."""
    first = text.partition(",")[0].strip()
    key = first.partition("=")[0].strip().replace("-", "_")
    return _NAME.fullmatch(first) is not None or ("=" in first and (key in KEYS or key in _OTHER_WORDS))


def split_names(text: str) -> list[str]:
    """The models between commas; sizes stay with the name before them: 'a,8B,layers=32' is 'a' and '8B,layers=32'."""
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if found and "=" in part and is_stated(part):
            found[-1] += f",{part}"
        elif part:
            found.append(part)
    return found


def read_stated(text: str) -> StatedSizes:
    """The sizes of a line. Raises UserError naming the part that is no size, comes twice, or goes with no other."""
    first, *rest = text.split(",")
    found: dict[str, int] = {}
    attention = ""
    total, active = _called(text, first) if "=" not in first else (None, None)
    for part in rest if "=" not in first else (first, *rest):
        key, has, value = (word.strip() for word in part.partition("="))
        key = key.lower().replace("-", "_")
        key = _OTHER_WORDS.get(key, key)
        if not has or key not in KEYS:
            raise UserError(
                f"model {text}: {part.strip()!r} is no size, written as key=value.{nearest(key, KEYS)} Known: "
                f"{', '.join(KEYS)}."
            )
        if key in found or (key == "attention" and attention):
            raise UserError(f"model {text}: {key} comes twice; give it once.")
        if key == "attention":
            attention = value.lower()
            if attention not in ("gqa", "mha", "mla"):
                raise UserError(f"model {text}: attention is {value!r}; expected gqa, mha or mla.")
        else:
            found[key] = _whole(text, key, value)
    if attention == "mla" and {"kv_heads", "head_dim"} & found.keys():
        raise UserError(f"model {text}: attention=mla keeps one latent for all heads; leave kv_heads and head_dim out.")
    if attention == "mha" and "kv_heads" in found:
        raise UserError(f"model {text}: attention=mha has as many key-value heads as heads; leave kv_heads out.")
    sizes = StatedSizes(text, total, active, **found, latent=attention == "mla")
    if attention == "mha":
        sizes = StatedSizes(**{**vars(sizes), "kv_heads": sizes.heads or 0})  # 0: as many as there will be heads
    _require_together(sizes)
    return sizes


def _called(text: str, first: str) -> tuple[float, float | None]:
    match = _NAME.fullmatch(first.strip())
    if match is None:
        raise UserError(f"model {text}: {first!r} says no parameters; write such as 8B or 16B-A3B.")
    total = float(match[1]) * _SCALE[match[2].upper()]
    active = float(match[3]) * _SCALE[match[4].upper()] if match[3] else None
    for what, value in (("parameters", total), ("active parameters", active)):
        if value is not None and not LEAST_PARAMS <= value <= MOST_PARAMS:
            raise UserError(f"model {text}: {format_count(value)} {what}; expected 1M to 1000T.")
    if active is not None and active >= total:
        raise UserError(
            f"model {text}: {format_count(active)} of {format_count(total)} parameters are active; a token uses "
            "fewer than there are. For a dense model leave -A out."
        )
    return total, active


def _whole(text: str, key: str, value: str) -> int:
    least, most = _BOUNDS[key]
    digits = value.replace("_", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and least <= int(digits) <= most):
        raise UserError(f"model {text}: {key} is {value!r}; expected a whole number of {least} to {most:,}.")
    return int(digits)


def _require_together(sizes: StatedSizes) -> None:
    """Raises UserError on sizes that cannot be of one model."""
    at = f"model {sizes.name}:"
    if sizes.experts and sizes.topk and sizes.topk > sizes.experts:
        raise UserError(f"{at} topk={sizes.topk} is more than experts={sizes.experts}; a token visits some of them.")
    if sizes.heads and sizes.kv_heads and sizes.heads % sizes.kv_heads:
        raise UserError(
            f"{at} kv_heads={sizes.kv_heads} does not divide heads={sizes.heads}; each serves as many queries."
        )
    shape = sizes.layers is not None and sizes.hidden is not None
    if sizes.total is None and not shape:
        raise UserError(
            f"{at} says neither how many parameters nor both layers and hidden; write such as 8B,layers=32."
        )
    if not sizes.is_mixture:
        return
    if sizes.total is None and not (sizes.experts and sizes.topk and sizes.expert_width):
        raise UserError(
            f"{at} a mixture without a total needs experts, topk and expert_width; give them, or begin with such as "
            "16B-A3B."
        )
    if sizes.active is None and not (shape and sizes.experts and sizes.topk):
        raise UserError(
            f"{at} a mixture needs its active parameters, or layers, hidden, experts and topk; write such as 16B-A3B."
        )
