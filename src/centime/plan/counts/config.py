"""Exact parameter, FLOP and KV-cache counts of a model, from its configuration alone.

Conventions, the same as the field's published figures (NVIDIA's and DeepSeek's rows for V3: 249.7 GFLOP per token):
- model FLOPs are those of matrix products: 2 per active parameter and token forward, 4 backward. The router is one of
  them; embedding look-ups, norms and the softmax are not;
- causal attention is counted once: a query at position t meets t keys, S/2 on average, in the expanded (training) form
  of MLA, with key heads of `qk_nope_head_dim + qk_rope_head_dim` and value heads of `v_head_dim`;
- MTP modules stand apart. Their embedding and head are the main model's (V3 report, section 2.2), so they add no
  parameters there, but the head's FLOPs are spent again for each module;
- recomputation is not model work.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from centime.catalogue.architecture import Architecture, LayerGroup
from centime.catalogue.model_config import ModelConfig
from centime.catalogue.models import from_config
from centime.plan.counts.architecture import count_architecture, flops_per_key, idle_biases, vectors
from centime.plan.counts.matrices import connection_gemms, feed_forward_gemms, layer_input_gemms, mixer_gemms


@dataclass(frozen=True)
class ModuleParameters:
    """Parameters of one kind of module summed over the layers that have it: held, used by a token, used in products."""

    total: int = 0
    active: int = 0
    matmul: int = 0

    def __add__(self, other: ModuleParameters) -> ModuleParameters:
        return ModuleParameters(self.total + other.total, self.active + other.active, self.matmul + other.matmul)

    def __mul__(self, times: int) -> ModuleParameters:
        return ModuleParameters(self.total * times, self.active * times, self.matmul * times)


@dataclass(frozen=True)
class Counts:
    """What `count` finds. Parameters are elements, FLOPs are per token at `sequence_length`, KV bytes per token."""

    sequence_length: int
    total_params: int
    active_params: int
    active_params_without_embedding: int
    active_matmul_params: int
    mtp_params: int
    mtp_active_params: int
    forward_flops_per_token: float
    train_flops_per_token: float
    train_flops_per_token_with_mtp: float
    attention_train_flops_per_token: float
    kv_elements_per_token: int
    kv_bytes_per_token: int
    parts: dict[str, ModuleParameters]

    def to_json(self) -> dict[str, object]:
        """A plain dictionary of the figures, for `--json`."""
        return asdict(self)


_KINDS = {"router": "router", "expert": "routed experts", "shared": "shared experts", "dense": "dense feed-forward"}


def _parts(block: LayerGroup, arch: Architecture) -> dict[str, ModuleParameters]:
    """One layer's modules: attention (its inner norms included), norms, feed-forward or router and experts."""
    norm = arch.hidden * (2 if arch.norm_bias else 1)
    norms = norm * sum(part is not None for part in (block.mixer, block.feed_forward))
    found = {"norms": ModuleParameters(norms, norms)}
    connections = sum(gemm.params for gemm in connection_gemms(block, arch))
    if connections:
        found["hyper-connections"] = ModuleParameters(connections, connections, connections)
    inputs = sum(gemm.params for gemm in layer_input_gemms(block, arch))
    if inputs:
        found["layer inputs"] = ModuleParameters(inputs, inputs, inputs)
    if block.mixer is not None:
        weights = sum(gemm.params for gemm in mixer_gemms(block.mixer, arch.hidden))
        small = vectors(LayerGroup(block.mixer, None), arch) - norm
        found["attention"] = ModuleParameters(weights + small, weights + small, weights)
    if block.feed_forward is not None:
        for gemm in feed_forward_gemms(block.feed_forward, arch.hidden):
            used = gemm.flops // 2
            found[_KINDS[gemm.kind]] = found.get(_KINDS[gemm.kind], ModuleParameters()) + ModuleParameters(
                gemm.params, used, used
            )
        # The correction bias (V3 report, equation 16) is a vector in every checkpoint, though no gradient reaches it.
        bias = vectors(LayerGroup(None, block.feed_forward), arch) - norm
        if bias:
            name = "router" if "router" in found else _KINDS["dense"]
            found[name] += ModuleParameters(bias, bias - idle_biases(block, arch))
    return found


def attention_flops_per_pair(config: ModelConfig) -> int:
    """Forward FLOPs of one layer's attention for one query meeting one key: scores and weighted sum, every head."""
    mixer = from_config(config).blocks[0].mixer
    assert mixer is not None  # what centime builds has attention in every layer
    return int(flops_per_key(mixer))


def count(model: ModelConfig | Architecture, sequence_length: int = 4096, kv_bytes_per_element: int = 2) -> Counts:
    """Count a model's parameters, FLOPs per token in sequences of `sequence_length`, and KV bytes per token (bf16).

    "total" and "active" leave MTP modules out, as the published 671 B and 37 B do. The figures are those of
    `centime.plan.counts.architecture`, with the modules they come from.
    """
    arch = model if isinstance(model, Architecture) else from_config(model)
    found = count_architecture(arch, sequence_length)
    vocabulary = arch.vocab * arch.hidden
    # A tied matrix is held once and used twice; it is counted under the head, where it is multiplied.
    parts = {"embedding": ModuleParameters() if arch.tied else ModuleParameters(vocabulary, vocabulary)}
    for block in arch.blocks:
        for name, part in _parts(block, arch).items():
            parts[name] = parts.get(name, ModuleParameters()) + part * block.repeat
    final = arch.hidden * (2 if arch.norm_bias else 1)
    parts["norms"] += ModuleParameters(final, final)
    positions = arch.learned_positions * arch.hidden
    parts["positions"] = ModuleParameters(positions, positions)
    own = arch.other_tables - positions
    parts["layers' embeddings"] = ModuleParameters(own, own)
    parts["head"] = ModuleParameters(vocabulary, vocabulary, vocabulary)
    if arch.mtp_modules:
        weights = sum(part.matmul for block in arch.mtp_layers for part in _parts(block, arch).values())
        projection = 2 * arch.hidden * arch.hidden
        in_products = arch.mtp_modules * (weights + projection)
        parts["MTP modules"] = ModuleParameters(found.mtp_params, found.mtp_active_params, in_products)
    elements = round(found.kv_elements_per_token)
    return Counts(
        sequence_length=sequence_length,
        total_params=found.total_params,
        active_params=found.active_params,
        active_params_without_embedding=found.active_params_without_embedding,
        active_matmul_params=found.matmul_params,
        mtp_params=found.mtp_params,
        mtp_active_params=found.mtp_active_params,
        forward_flops_per_token=found.forward_flops_per_token,
        train_flops_per_token=found.train_flops_per_token,
        train_flops_per_token_with_mtp=found.train_flops_per_token_with_mtp,
        attention_train_flops_per_token=3 * found.attention_forward_flops_per_token,
        kv_elements_per_token=elements,
        kv_bytes_per_token=elements * kv_bytes_per_element,
        parts={name: part for name, part in parts.items() if part.total},
    )
