"""What a model is, as data: one typed configuration for the DeepSeek-V2 and V3 families and the dense baseline.

Field names are Hugging Face's (config.json of deepseek-ai/DeepSeek-V2, -V2-Lite, -V3), so a config.json is read and
written without a dictionary of synonyms. Sizes in comments use the legend: D hidden, H heads, L latent (kv_lora_rank),
R rope dim, E experts, K top-k, F expert width, V vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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
Slope = Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]


class YarnScaling(BaseModel):
    """YaRN context extension of the rotary embedding (arXiv 2309.00071, section 3; V2 report section 3.1.4).

    Defaults are DeepSeek-V3's: s = 40 over 4,096 positions, alpha 1 and beta 32, mscale 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: Annotated[Number, Field(ge=1)] = Field(40.0, description="s: the new context over the original one")
    original_max_position_embeddings: Positions = Field(4096, description="positions the model was pre-trained at")
    beta_fast: Number = Field(32.0, description="rotations in the original context above which a frequency is kept")
    beta_slow: Number = Field(1.0, description="rotations below which a frequency is divided by s")
    mscale: Slope = Field(1.0, description="slope of the magnitude correction of the rotated features")
    mscale_all_dim: Slope = Field(1.0, description="slope of the correction of the softmax scale (0: none)")


class ModelConfig(BaseModel):
    """A model of the DeepSeek-V2 or V3 family, or the dense multi-head baseline, complete enough to build and count.

    `kv_lora_rank=None` is plain multi-head attention with rotary heads of `qk_rope_head_dim` (then
    `qk_nope_head_dim=0` and `v_head_dim=qk_rope_head_dim`); `n_routed_experts=None` is a dense feed-forward everywhere.
    Defaults are small and DeepSeek-V3-like.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: Vocabulary = Field(4096, description="V")
    hidden_size: Width = Field(256, description="D")
    num_hidden_layers: Layers = Field(6)
    num_attention_heads: Heads = Field(8, description="H")

    kv_lora_rank: Width | None = Field(64, description="L, the latent; None: plain multi-head attention")
    q_lora_rank: Width | None = Field(None, description="rank of the compressed query; None: a plain q_proj")
    qk_nope_head_dim: int = Field(
        32, strict=True, ge=0, le=2**16, description="part of a query or key head without rotation"
    )
    qk_rope_head_dim: HeadDim = Field(16, description="R, the rotated part (of one key shared by all heads in MLA)")
    v_head_dim: HeadDim = Field(32)

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
    rope_scaling: YarnScaling | None = None
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
