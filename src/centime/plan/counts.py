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

from centime.catalogue.model_config import ModelConfig


@dataclass(frozen=True)
class Part:
    """Parameters of one kind of module summed over the layers that have it: held, used by a token, used in products."""

    total: int = 0
    active: int = 0
    matmul: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.total + other.total, self.active + other.active, self.matmul + other.matmul)

    def __mul__(self, times: int) -> Part:
        return Part(self.total * times, self.active * times, self.matmul * times)


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
    parts: dict[str, Part]

    def to_json(self) -> dict[str, object]:
        """A plain dictionary of the figures, for `--json`."""
        return asdict(self)


def _matrix(*sizes: int) -> Part:
    elements = 1
    for size in sizes:
        elements *= size
    return Part(elements, elements, elements)


def _vector(size: int) -> Part:
    return Part(size, size, 0)


def attention_part(config: ModelConfig) -> Part:
    """One layer's attention: MLA (V2 report, equations 9 to 19) or plain multi-head attention, its norms included."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    key_head = config.qk_nope_head_dim + config.qk_rope_head_dim
    out = _matrix(heads * config.v_head_dim, hidden)
    if config.kv_lora_rank is None:
        return _matrix(hidden, heads * key_head) * 2 + _matrix(hidden, heads * config.v_head_dim) + out
    rank, latent = config.q_lora_rank, config.kv_lora_rank
    if rank is None:
        query = _matrix(hidden, heads * key_head)
    else:
        query = _matrix(hidden, rank) + _vector(rank) + _matrix(rank, heads * key_head)
    down = _matrix(hidden, latent + config.qk_rope_head_dim) + _vector(latent)
    up = _matrix(latent, heads * (config.qk_nope_head_dim + config.v_head_dim))
    return query + down + up + out


def feed_forward_parts(config: ModelConfig, layer: int) -> dict[str, Part]:
    """Layer `layer`'s feed-forward: a dense SwiGLU, or router and experts (V2 report, eq. 20 to 22)."""
    hidden = config.hidden_size
    if not config.layer_has_experts(layer):
        return {"dense feed-forward": _matrix(3, hidden, config.intermediate_size)}
    experts = config.n_routed_experts or 0
    one = 3 * hidden * config.moe_intermediate_size
    chosen = min(config.num_experts_per_tok, experts) * one
    # The correction bias (V3 report, equation 16) is a vector in every checkpoint, though no gradient reaches it.
    bias = _vector(experts) if config.topk_method == "noaux_tc" else Part()
    parts = {"routed experts": Part(experts * one, chosen, chosen), "router": _matrix(experts, hidden) + bias}
    if config.shared_width:
        parts["shared experts"] = _matrix(3, hidden, config.shared_width)
    return parts


def attention_flops_per_pair(config: ModelConfig) -> int:
    """Forward FLOPs of one layer's attention for one query meeting one key: scores and weighted sum, every head."""
    return 2 * config.num_attention_heads * (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim)


def kv_elements_per_layer(config: ModelConfig) -> int:
    """Cache elements one token leaves in one layer: latent and rotated key (MLA), or every key and value head."""
    if config.kv_lora_rank is not None:
        return config.kv_lora_rank + config.qk_rope_head_dim
    return config.num_attention_heads * (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim)


def count(config: ModelConfig, sequence_length: int = 4096, kv_bytes_per_element: int = 2) -> Counts:
    """Count `config`'s parameters, FLOPs per token in sequences of `sequence_length`, and KV bytes per token (bf16).

    "total" and "active" leave MTP modules out, as the published 671 B and 37 B do.
    """
    parts: dict[str, Part] = {}

    def add(into: dict[str, Part], name: str, part: Part) -> None:
        into[name] = into.get(name, Part()) + part

    def add_layer(into: dict[str, Part], layer: int) -> None:
        add(into, "attention", attention_part(config))
        add(into, "norms", _vector(config.hidden_size) * 2)
        for name, part in feed_forward_parts(config, layer).items():
            add(into, name, part)

    vocabulary = config.vocab_size * config.hidden_size
    tied = config.tie_word_embeddings
    # A tied matrix is held once and used twice; it is counted under the head, where it is multiplied.
    parts["embedding"] = Part() if tied else Part(vocabulary, vocabulary, 0)
    for layer in range(config.num_hidden_layers):
        add_layer(parts, layer)
    add(parts, "norms", _vector(config.hidden_size))
    parts["head"] = _matrix(vocabulary)

    mtp: dict[str, Part] = {}
    for module in range(config.num_nextn_predict_layers):
        add_layer(mtp, config.num_hidden_layers + module)
        add(mtp, "norms", _vector(config.hidden_size) * 3)
        add(mtp, "projection", _matrix(config.hidden_size, 2 * config.hidden_size))
    extra = sum(mtp.values(), Part())

    whole = sum(parts.values(), Part())
    per_pair = attention_flops_per_pair(config)
    attention = config.num_hidden_layers * per_pair * sequence_length / 2
    forward = 2 * whole.matmul + attention
    mtp_modules = config.num_nextn_predict_layers
    mtp_forward = 2 * (extra.matmul + mtp_modules * vocabulary) + mtp_modules * per_pair * sequence_length / 2
    elements = config.num_hidden_layers * kv_elements_per_layer(config)
    return Counts(
        sequence_length=sequence_length,
        total_params=whole.total,
        active_params=whole.active,
        active_params_without_embedding=whole.active - parts["embedding"].active,
        active_matmul_params=whole.matmul,
        mtp_params=extra.total,
        mtp_active_params=extra.active,
        forward_flops_per_token=forward,
        train_flops_per_token=3 * forward,
        train_flops_per_token_with_mtp=3 * (forward + mtp_forward),
        attention_train_flops_per_token=3 * attention,
        kv_elements_per_token=elements,
        kv_bytes_per_token=elements * kv_bytes_per_element,
        parts={name: part for name, part in parts.items() if part.total}
        | ({"MTP modules": extra} if mtp_modules else {}),
    )
