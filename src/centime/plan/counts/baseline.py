"""The dense model to beat: plain multi-head attention at the same training FLOPs per token."""

from __future__ import annotations

from pydantic import ValidationError

from centime.catalogue.hf import explain
from centime.catalogue.model_config import ModelConfig
from centime.errors import UserError
from centime.plan.counts.config import count


def dense_baseline(config: ModelConfig, sequence_length: int = 4096, multiple: int = 16) -> ModelConfig:
    """A dense decoder (Llama's layout) that spends what `config` spends per training token, MTP left out of both.

    Width, depth, vocabulary and number of heads are the same; heads are hidden / heads wide, every layer's
    feed-forward takes what FLOPs are left, rounded to `multiple` columns. Raises UserError when attention alone
    costs more than the whole of `config`, or where the sizes are none that a model may have.
    """
    head = config.hidden_size // config.num_attention_heads
    shape = {
        "kv_lora_rank": None,
        "q_lora_rank": None,
        "qk_nope_head_dim": 0,
        "qk_rope_head_dim": head,
        "v_head_dim": head,
        "n_routed_experts": None,
        "n_shared_experts": None,
        "num_nextn_predict_layers": 0,
        "rope_interleave": False,
    }

    def with_width(width: int) -> ModelConfig:
        try:
            return ModelConfig.model_validate(config.model_dump() | shape | {"intermediate_size": width})
        except ValidationError as error:
            raise UserError(explain(error, "The dense baseline of this model cannot be")) from None

    target = count(config, sequence_length).train_flops_per_token
    one, two = (count(with_width(width), sequence_length).train_flops_per_token for width in (multiple, 2 * multiple))
    columns = round((target - one) / (two - one)) + 1
    if columns < 1:
        raise UserError(
            f"At {sequence_length} tokens, plain attention alone costs more than this model's {target / 1e9:.3g} GFLOP "
            "a token; compare at a shorter sequence or with fewer heads."
        )
    return with_width(columns * multiple)
