"""Multi-head latent attention (V2 report section 2.1; V3 report section 2.1.1), and the plain multi-head baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.model.cache import LayerCache
from centime.model.linear import Linear, RMSNorm
from centime.model.rope import softmax_scale
from centime.ops.attention import causal_attention
from centime.ops.rope import apply_rope

RopeTable = tuple[Tensor, Tensor]


class LatentAttention(nn.Module):
    """MLA: keys and values are up-projections of one latent a token, plus one rotated key that all heads share.

    Training and prefill expand the latent into per-head keys and values (eq. 9 to 19 of the V2 report). Decoding works
    on the cached latents themselves: W_UK is absorbed into the query and W_UV into the output, the same numbers in
    another order of multiplication (section 2.1.2, last paragraph).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.kv_lora_rank is not None
        D, H = config.hidden_size, config.num_attention_heads
        self.heads, self.latent_dim = H, config.kv_lora_rank
        self.nope, self.rope_dim, self.v_dim = config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
        self.interleave, self.scale = config.rope_interleave, softmax_scale(config)
        query = H * (self.nope + self.rope_dim)
        if config.q_lora_rank is None:
            self.q = Linear(D, query)
        else:
            self.q_down = Linear(D, config.q_lora_rank)
            self.q_norm = RMSNorm(config.q_lora_rank, config.rms_norm_eps)
            self.q_up = Linear(config.q_lora_rank, query)
        self.kv_down = Linear(D, self.latent_dim + self.rope_dim)
        self.kv_norm = RMSNorm(self.latent_dim, config.rms_norm_eps)
        self.kv_up = Linear(self.latent_dim, H * (self.nope + self.v_dim))
        self.out = Linear(H * self.v_dim, D)

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> Tensor:
        B, S, _ = x_BSD.shape
        q = self.q(x_BSD) if hasattr(self, "q") else self.q_up(self.q_norm(self.q_down(x_BSD)))
        q_nope, q_rope = q.view(B, S, self.heads, -1).split([self.nope, self.rope_dim], dim=-1)
        q_rope = apply_rope(q_rope, rope, self.interleave)
        latent, k_rope = self.kv_down(x_BSD).split([self.latent_dim, self.rope_dim], dim=-1)
        latent = self.kv_norm(latent)
        k_rope = apply_rope(k_rope[:, :, None], rope, self.interleave)
        if cache is None:
            heads = self._expanded(q_nope, q_rope, latent, k_rope)
        else:
            fresh = cache.length == 0
            stored_BTW = cache.append(torch.cat((latent, k_rope[:, :, 0]), dim=-1))
            if fresh and S > 1:
                heads = self._expanded(q_nope, q_rope, latent, k_rope)
            else:
                heads = self._absorbed(q_nope, q_rope, stored_BTW)
        projected: Tensor = self.out(heads)
        return projected

    def _expanded(self, q_nope: Tensor, q_rope: Tensor, latent_BSL: Tensor, k_rope: Tensor) -> Tensor:
        """Per-head keys and values from the latent; q_* [B, S, H, .], k_rope [B, S, 1, R] -> [B, S, H * v]."""
        B, S, H, _ = q_nope.shape
        k_nope, v = self.kv_up(latent_BSL).view(B, S, H, -1).split([self.nope, self.v_dim], dim=-1)
        q = torch.cat((q_nope, q_rope), dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, -1, H, -1)), dim=-1)
        heads = causal_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), self.scale)
        return heads.transpose(1, 2).reshape(B, S, H * self.v_dim)

    def _absorbed(self, q_nope: Tensor, q_rope: Tensor, stored_BTW: Tensor) -> Tensor:
        """Attention over cached [latent; rotated key] [B, T, L + R], the last S of them the queries' own."""
        B, S, H, _ = q_nope.shape
        T = stored_BTW.shape[1]
        w_uk, w_uv = self.kv_up.weight.view(H, self.nope + self.v_dim, self.latent_dim).split(
            [self.nope, self.v_dim], dim=1
        )
        q_latent = torch.einsum("bshn,hnl->bhsl", q_nope, w_uk)
        q = torch.cat((q_latent, q_rope.transpose(1, 2)), dim=-1).reshape(B, H * S, -1)
        scores = (q @ stored_BTW.transpose(1, 2)).float().view(B, H, S, T) * self.scale
        if S > 1:
            future = torch.ones(S, T, dtype=torch.bool, device=scores.device).triu(T - S + 1)
            scores = scores.masked_fill(future, float("-inf"))
        weights = scores.softmax(-1).to(stored_BTW.dtype).view(B, H * S, T)
        context = (weights @ stored_BTW[..., : self.latent_dim]).view(B, H, S, self.latent_dim)
        return torch.einsum("bhsl,hvl->bshv", context, w_uv).reshape(B, S, H * self.v_dim)


class MultiHeadAttention(nn.Module):
    """Plain multi-head attention, every head rotated whole (Llama's): the baseline that MLA is measured against."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, H, C = config.hidden_size, config.num_attention_heads, config.v_head_dim
        self.heads, self.interleave, self.scale = H, config.rope_interleave, softmax_scale(config)
        self.q, self.k, self.v = (Linear(D, H * C) for _ in range(3))
        self.out = Linear(H * C, D)

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> Tensor:
        B, S, _ = x_BSD.shape
        q, k, v = (project(x_BSD).view(B, S, self.heads, -1) for project in (self.q, self.k, self.v))
        q, k = apply_rope(q, rope, self.interleave), apply_rope(k, rope, self.interleave)
        if cache is None:
            heads = causal_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), self.scale)
        else:
            stored = cache.append(torch.cat((k.flatten(2), v.flatten(2)), dim=-1))
            k, v = (t.unflatten(-1, (self.heads, -1)) for t in stored.chunk(2, dim=-1))
            T = k.shape[1]
            seen = torch.ones(S, T, dtype=torch.bool, device=x_BSD.device).tril(T - S)
            heads = nn.functional.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=seen, scale=self.scale
            )
        projected: Tensor = self.out(heads.transpose(1, 2).reshape(B, S, -1))
        return projected
