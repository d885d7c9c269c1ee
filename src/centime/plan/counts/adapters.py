"""Low-rank adapters (LoRA, arXiv 2106.09685; QLoRA, 2305.14314): which matrices they stand beside, and their sizes.

Beside a frozen matrix [out, in] stand A [r, in] and B [out, r]: r (in + out) parameters. Modules have the names that
transformers and PEFT give them; queries, keys and values, gate and up are counted apart, as in Llama.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from centime.catalogue.architecture import Architecture, ExpertsSpec, LayerGroup, SoftmaxAttention
from centime.errors import UserError, nearest
from centime.plan.counts.matrices import Gemm, feed_forward_gemms, layer_input_gemms, mixer_gemms

# Bytes of a frozen parameter. NF4 has a scale for 64 of them, kept in 8 bits with one of 32 bits for 256 scales: 0.127
# bits (QLoRA, section 3); fp8 one of 32 bits for a block of 128 x 128 (DeepSeek-V3, section 3.3).
BASES = {"bf16": 2.0, "fp8": 1.0 + 4.0 / 128**2, "nf4": (4.0 + 8.0 / 64 + 32.0 / (64 * 256)) / 8.0}
DTYPES = {"fp32": 4.0, "bf16": 2.0}  # bytes of an adapter's weight, and of its gradient
GROUPS = ("all-linear", "attention", "mlp", "experts")
MOST_RANK = 1 << 20
EXAMPLE = "16, or 64,base=nf4,targets=q_proj+v_proj"
_MODULES = {
    "attention output": "o_proj",
    "latent down": "kv_a_proj_with_mqa",
    "latent up": "kv_b_proj",
    "query": "q_proj",
    "query down": "q_a_proj",
    "query up": "q_b_proj",
    "key-value": "kv_proj",
    "output down": "o_a_proj",
    "output up": "o_b_proj",
    "state input": "in_proj",
    "state parameters": "x_proj",
    "step sizes": "dt_proj",
    "state output": "out_proj",
    "convolution input": "in_proj",
    "convolution output": "out_proj",
    "layer input back": "per_layer_projection",
    "latent in": "latent_in",
    "latent out": "latent_out",
    "down": "down_proj",
    "shared down": "down_proj",
    "expert up": "gate_up_proj",
    "expert down": "down_proj",
}


@dataclass(frozen=True, slots=True)
class Adapters:
    """What is trained in place of the weights: adapters of a rank.

    targets: of GROUPS, or names of modules. base: how the frozen matrices are kept, of BASES (tables and norms in 16
    bits); dtype: of the adapters themselves and their gradients, of DTYPES. rank 0: not told (a published run), so that
    only what is frozen counts.
    """

    rank: int
    targets: tuple[str, ...] = ("all-linear",)
    base: str = "bf16"
    dtype: str = "fp32"

    def check(self) -> None:
        """Raises UserError on what adapters cannot be."""
        if not 1 <= self.rank <= MOST_RANK:
            raise UserError(f"--lora: a rank is a whole number from 1 to {MOST_RANK:,}; found {self.rank:,}.")
        for key, value, known in (("base", self.base, BASES), ("dtype", self.dtype, DTYPES)):
            if value not in known:
                raise UserError(f"--lora: {key} {value!r} is none of {', '.join(known)}.{nearest(value, known)}")


@dataclass(frozen=True, slots=True)
class AdapterSizes:
    """Sizes of a model's adapters, in elements: their parameters beside matrices that every token meets (dense) and
    beside experts' (expert), those a token meets, what they read and write of a token's activations in a forward, and
    the widest frozen matrix, which is unpacked whole where it is kept in fewer bits."""

    dense: float = 0.0
    expert: float = 0.0
    met: float = 0.0
    moved: float = 0.0
    widest: float = 0.0

    @property
    def parameters(self) -> float:
        """All that is trained."""
        return self.dense + self.expert


@dataclass(frozen=True, slots=True)
class _Module:
    """A matrix that can have an adapter. group: attention (whatever mixes tokens), mlp or experts."""

    name: str
    group: str
    inside: int
    outside: int
    held: int = 1
    times: int = 1

    def is_among(self, targets: tuple[str, ...]) -> bool:
        """Whether the targets name it; experts have adapters where they are asked for and nowhere else, as PEFT's
        target_parameters give them."""
        if self.group in targets:
            return True
        return self.group != "experts" and ("all-linear" in targets or self.name in targets)


def _apart(gemm: Gemm, group: str, names: tuple[str, ...]) -> Iterator[_Module]:
    """A matrix that is several side by side, equally wide."""
    for name in names:
        yield _Module(name, group, gemm.k, gemm.n // len(names), gemm.held, gemm.times)


def _modules(block: LayerGroup, arch: Architecture) -> Iterator[_Module]:
    """The matrices of one layer that can have an adapter: no router, no hyper-connection, no table."""
    mixer, part = block.mixer, block.feed_forward
    if isinstance(mixer, SoftmaxAttention):
        heads = mixer.heads * mixer.head_dim + (mixer.heads * mixer.value_head if mixer.output_gate else 0)
        yield _Module("q_proj", "attention", arch.hidden, heads)
        if not mixer.shared_cache:
            yield _Module("k_proj", "attention", arch.hidden, mixer.kv_heads * mixer.head_dim)
            if not mixer.shared_projection:
                yield _Module("v_proj", "attention", arch.hidden, mixer.kv_heads * mixer.value_head)
        yield _Module("o_proj", "attention", mixer.heads * mixer.value_head, arch.hidden)
    elif mixer is not None:
        for gemm in mixer_gemms(mixer, arch.hidden):
            yield from _apart(gemm, "attention", (_MODULES.get(gemm.name, gemm.name.replace(" ", "_")),))
    for gemm in layer_input_gemms(block, arch):
        two = ("per_layer_model_projection", "per_layer_input_gate")
        yield from _apart(gemm, "mlp", two if gemm.name == "layer input and gate" else (_MODULES[gemm.name],))
    if part is None:
        return
    for gemm in feed_forward_gemms(part, arch.hidden):
        if gemm.kind == "router":
            continue
        names: tuple[str, ...] = (_MODULES.get(gemm.name, ""),)
        if gemm.name in ("up", "shared up"):
            names = ("gate_proj", "up_proj") if part.gated else ("up_proj",)
        yield from _apart(gemm, "experts" if gemm.kind == "expert" else "mlp", names)


def targets_of(arch: Architecture) -> list[str]:
    """What targets can be named of a model: groups, then modules."""
    found = {module.name: module.group for block in arch.blocks for module in _modules(block, arch)}
    mixture = any(isinstance(block.feed_forward, ExpertsSpec) for block in arch.blocks)
    return [group for group in GROUPS if group != "experts" or mixture] + list(found)


@lru_cache(maxsize=256)
def adapter_sizes(arch: Architecture, adapters: Adapters) -> AdapterSizes:
    """The sizes of a model's adapters. Raises UserError on a target that the model has not."""
    if not adapters.rank:
        return AdapterSizes()
    known = targets_of(arch)
    for target in adapters.targets:
        if target not in known:
            raise UserError(
                f"--lora: {arch.name} has no {target!r} to adapt; it has {', '.join(known)}.{nearest(target, known)}"
            )
    sums = dict.fromkeys(AdapterSizes.__slots__, 0.0)
    for block in arch.blocks:
        for module in _modules(block, arch):
            sums["widest"] = max(sums["widest"], float(module.inside * module.outside))
            if not module.is_among(adapters.targets):
                continue
            each = float(adapters.rank * (module.inside + module.outside))
            sums["expert" if module.group == "experts" else "dense"] += block.repeat * module.held * each
            sums["met"] += block.repeat * module.times * each
            # x is read; B's product is written, read, and summed to what the frozen matrix wrote
            sums["moved"] += block.repeat * module.times * float(module.inside + 4 * module.outside)
    if not sums["dense"] + sums["expert"]:
        raise UserError(f"--lora: {arch.name} has nothing that {'+'.join(adapters.targets)} names; name {known[0]}.")
    return AdapterSizes(**sums)


def parse_adapters(text: str) -> Adapters:
    """'16' or '64,base=nf4,targets=q_proj+v_proj,dtype=bf16' -> Adapters. Raises UserError on anything else."""
    found: dict[str, Any] = {}
    for place, item in enumerate(piece.strip() for piece in text.split(",")):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not place and not equals:
            key, value = "rank", key
        elif not equals or key not in ("rank", "targets", "base", "dtype"):
            if key in ("rank", "targets", "base", "dtype"):
                raise UserError(f"--lora: {key} has no value; write {EXAMPLE}.")
            hint = nearest(key, ("rank", "targets", "base", "dtype"))
            raise UserError(f"--lora: {item!r} is not one of its settings; write {EXAMPLE}.{hint}")
        if not value:
            raise UserError(f"--lora: {key} has no value; write {EXAMPLE}.")
        if key in found:
            raise UserError(f"--lora: {key} is given twice; give it once.")
        found[key] = value
    if not found.get("rank", "").isascii() or not found.get("rank", "").isdigit():
        raise UserError(f"--lora: the rank is {found.get('rank', '')!r}; expected a whole number. Write {EXAMPLE}.")
    found["rank"] = int(found["rank"][:12])
    if "targets" in found:
        found["targets"] = tuple(target.strip() for target in found["targets"].split("+"))
    adapters = Adapters(**found)
    adapters.check()
    return adapters
