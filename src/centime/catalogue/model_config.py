"""What a model is, as data: one typed configuration for the DeepSeek-V2 and V3 families and for dense decoders with
grouped queries (Llama, Qwen2, Qwen3).

Field names are Hugging Face's (config.json of deepseek-ai/DeepSeek-V2, -V2-Lite, -V3), so a config.json is read and
written without a dictionary of synonyms. Sizes in comments use the legend: D hidden, H heads, L latent (kv_lora_rank),
R rope dim, E experts, K top-k, F expert width, V vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from centime.errors import UserError

# Bounds of a size. They are far above every published model (DeepSeek-V3: D 7,168, H 128, E 256, V 129,280, 61 layers)
# and low enough that whatever they allow is counted at once; no number is made of a text, a list or a fraction.
Width = Annotated[int, Field(strict=True, ge=1, le=2**20)]  # D, ranks, widths of feed-forwards
Heads = Annotated[int, Field(strict=True, ge=1, le=2**16)]
HeadDim = Annotated[int, Field(strict=True, ge=1, le=2**16)]
Layers = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**16)]  # of experts and of groups
Vocabulary = Annotated[int, Field(strict=True, ge=1, le=2**24)]
Positions = Annotated[int, Field(strict=True, ge=1, le=2**31)]
Token = Annotated[int, Field(strict=True, ge=0, lt=2**24)]
Number = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
Factor = Annotated[Number, Field(ge=1)]
Slope = Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]


class YarnScaling(BaseModel):
    """YaRN context extension of the rotary embedding (arXiv 2309.00071, section 3; V2 report section 3.1.4).

    Defaults are DeepSeek-V3's: s = 40 over 4,096 positions, alpha 1 and beta 32, mscale 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_type: Literal["yarn"] = "yarn"
    factor: Factor = Field(40.0, description="s: the new context over the original one")
    original_max_position_embeddings: Positions = Field(4096, description="positions the model was pre-trained at")
    beta_fast: Number = Field(32.0, description="rotations in the original context above which a frequency is kept")
    beta_slow: Number = Field(1.0, description="rotations below which a frequency is divided by s")
    mscale: Slope = Field(1.0, description="slope of the magnitude correction of the rotated features")
    mscale_all_dim: Slope = Field(1.0, description="slope of the correction of the softmax scale (0: none)")


class Llama3Scaling(BaseModel):
    """Llama 3.1's extension: YaRN's idea with a ramp over wavelengths, and no correction of magnitudes.

    Defaults are Llama 3.1's (config.json of meta-llama/Llama-3.1-8B; Llama 3 report, arXiv 2407.21783, section 3.4.2).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_type: Literal["llama3"]
    factor: Factor = Field(8.0, description="what low frequencies are divided by")
    original_max_position_embeddings: Positions = Field(8192, description="positions the model was pre-trained at")
    low_freq_factor: Number = Field(1.0, description="turns in the original context up to which a frequency is divided")
    high_freq_factor: Number = Field(4.0, description="turns from which a frequency is kept")

    @model_validator(mode="after")
    def _ramp(self) -> Llama3Scaling:
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(
                f"high_freq_factor {self.high_freq_factor:g} is not above low_freq_factor {self.low_freq_factor:g}"
            )
        return self


class LinearScaling(BaseModel):
    """Position interpolation: every frequency divided by one factor (arXiv 2306.15595, equation 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_type: Literal["linear"]
    factor: Factor = Field(description="the new context over the original one")


_KINDS = ("yarn", "llama3", "linear")


def _kind(value: Any) -> str | None:
    """The tag of a value's class, its `rope_type`; YaRN's where that is not said."""
    said = value.get("rope_type", "yarn") if isinstance(value, dict) else getattr(value, "rope_type", None)
    return said if isinstance(said, str) and said in _KINDS else None


RopeScaling = Annotated[
    Annotated[YarnScaling, Tag("yarn")]
    | Annotated[Llama3Scaling, Tag("llama3")]
    | Annotated[LinearScaling, Tag("linear")],
    Discriminator(
        _kind,
        custom_error_type="rope_type",
        custom_error_message=f"rope_type is none of {', '.join(_KINDS)}, or this is no table of settings",
    ),
]


# Settings of plain attention that latent attention has no place for.
_PLAIN_ONLY = ("num_key_value_heads", "qkv_bias", "out_bias", "qk_norm")


class ModelConfig(BaseModel):
    """A model of the DeepSeek-V2 or V3 family, or one with grouped queries, complete enough to build and count.

    `kv_lora_rank=None` is plain attention with rotary heads of `qk_rope_head_dim` (then `qk_nope_head_dim=0` and
    `v_head_dim=qk_rope_head_dim`), each key head met by H / `num_key_value_heads` query heads;
    `n_routed_experts=None` is a dense feed-forward everywhere. Defaults are small and DeepSeek-V3-like.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: Vocabulary = Field(4096, description="V")
    hidden_size: Width = Field(256, description="D")
    num_hidden_layers: Layers = Field(6)
    num_attention_heads: Heads = Field(8, description="H")

    kv_lora_rank: Width | None = Field(64, description="L, the latent; None: plain attention, grouped or multi-head")
    q_lora_rank: Width | None = Field(None, description="rank of the compressed query; None: a plain q_proj")
    qk_nope_head_dim: int = Field(
        32, strict=True, ge=0, le=2**16, description="part of a query or key head without rotation"
    )
    qk_rope_head_dim: HeadDim = Field(16, description="R, the rotated part (of one key shared by all heads in MLA)")
    v_head_dim: HeadDim = Field(32)

    num_key_value_heads: Heads | None = Field(
        None, description="key and value heads of plain attention, grouped-query where fewer than H; None: H"
    )
    qkv_bias: Switch = Field(False, description="queries, keys and values of plain attention have biases (Qwen2)")
    out_bias: Switch = Field(False, description="the output of plain attention has a bias")
    qk_norm: Switch = Field(False, description="plain attention norms each query and key head (Qwen3)")

    intermediate_size: Width = Field(1024, description="width of a dense feed-forward")
    moe_intermediate_size: Width = Field(256, description="F, width of one expert")
    n_routed_experts: Count | None = Field(16, description="E; None: no experts at all")
    n_shared_experts: Annotated[int, Field(strict=True, ge=0, le=2**10)] | None = Field(1)
    num_experts_per_tok: Count = Field(4, description="K")
    first_k_dense_replace: int = Field(
        1, strict=True, ge=0, le=10**6, description="the first layers keep a dense feed-forward"
    )
    moe_layer_freq: Layers = Field(1, description="of the others, layer i has experts when i % moe_layer_freq == 0")

    scoring_func: Literal["softmax", "sigmoid"] = "sigmoid"
    topk_method: Literal["greedy", "group_limited_greedy", "noaux_tc"] = Field(
        "noaux_tc",
        description="V2-Lite: greedy; V2: group_limited_greedy (a group scores its maximum); "
        "V3: noaux_tc (correction bias; a group scores the sum of its two best)",
    )
    n_group: Count | None = Field(1, description="groups of experts (one a node)")
    topk_group: Count | None = Field(1, description="groups a token may use")
    norm_topk_prob: Switch = Field(True, description="gates of the chosen experts are scaled to sum to 1")
    routed_scaling_factor: Number = Field(1.0)

    num_nextn_predict_layers: int = Field(0, strict=True, ge=0, le=100, description="MTP modules (V3: 1)")

    rms_norm_eps: float = Field(1e-6, strict=True, gt=0, le=1)
    initializer_range: float = Field(0.006, strict=True, gt=0, le=1, description="V2 and V3 reports: 0.006")
    rope_theta: float = Field(10000.0, strict=True, gt=1, le=1e15)
    rope_scaling: RopeScaling | None = None
    rope_interleave: Switch = Field(True, description="rotate pairs (2i, 2i+1); False: halves (i, i + R/2)")
    max_position_embeddings: Positions = Field(4096)
    tie_word_embeddings: Switch = False

    bos_token_id: Token | None = 0
    eos_token_id: Token | None = 1

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.qk_rope_head_dim % 2:
            raise ValueError(f"qk_rope_head_dim is {self.qk_rope_head_dim}; rotation works on pairs, make it even")
        plain = self.qk_nope_head_dim == 0 and self.v_head_dim == self.qk_rope_head_dim and self.q_lora_rank is None
        if self.kv_lora_rank is None and not plain:
            raise ValueError(
                "kv_lora_rank is None, which is plain multi-head attention; it needs qk_nope_head_dim = 0, "
                "v_head_dim = qk_rope_head_dim and q_lora_rank = None"
            )
        if self.kv_lora_rank is not None and (own := [name for name in _PLAIN_ONLY if getattr(self, name)]):
            raise ValueError(f"{own[0]} is of plain attention; latent attention (kv_lora_rank) has none")
        if self.kv_lora_rank is not None and not isinstance(self.rope_scaling, YarnScaling | None):
            raise ValueError(f"rope_scaling is {self.rope_scaling.rope_type!r}; latent attention is scaled by 'yarn'")
        if self.num_attention_heads % self.kv_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.kv_heads}; each key head is met by as many query heads"
            )
        if self.n_routed_experts is not None:
            groups, kept = self.n_group or 1, self.topk_group or 1
            if self.n_routed_experts % groups:
                raise ValueError(f"n_routed_experts {self.n_routed_experts} is not a multiple of n_group {groups}")
            if kept > groups:
                raise ValueError(f"topk_group {kept} is more than n_group {groups}")
            reachable = (
                self.n_routed_experts // groups * kept if self.topk_method != "greedy" else self.n_routed_experts
            )
            if self.num_experts_per_tok > reachable:
                raise ValueError(
                    f"num_experts_per_tok {self.num_experts_per_tok} is more than the {reachable} experts that a token "
                    f"can reach (n_routed_experts {self.n_routed_experts}, n_group {groups}, topk_group {kept})"
                )
            if self.topk_method == "noaux_tc" and groups > 1 and self.n_routed_experts // groups < 2:
                raise ValueError("noaux_tc scores a group by its two best experts; each group needs at least two")
        return self

    @property
    def is_mla(self) -> bool:
        """Whether attention is multi-head latent attention (V2 report section 2.1) rather than plain multi-head."""
        return self.kv_lora_rank is not None

    @property
    def kv_heads(self) -> int:
        """Key heads, and value heads: as many as query heads where attention is latent or multi-head."""
        return self.num_key_value_heads or self.num_attention_heads

    def layer_has_experts(self, layer: int) -> bool:
        """Whether decoder layer `layer` (0-based; MTP module k is layer num_hidden_layers + k) routes to experts."""
        if self.n_routed_experts is None or layer < self.first_k_dense_replace:
            return False
        return layer >= self.num_hidden_layers or layer % self.moe_layer_freq == 0

    @property
    def shared_width(self) -> int:
        """Width of the shared expert: DeepSeek stores n_shared_experts as one feed-forward of their summed width."""
        return (self.n_shared_experts or 0) * self.moe_intermediate_size


def config_of(text: str) -> ModelConfig:
    """The configuration that JSON text says. Raises UserError naming the key."""
    try:
        return ModelConfig.model_validate_json(text)
    except ValidationError as error:
        issue = error.errors(include_url=False)[0]
        key = ".".join(map(str, issue["loc"])) or "the whole"
        raise UserError(f"The model {text[:40]}… is no configuration: {key}: {issue['msg']}.") from None
