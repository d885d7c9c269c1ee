"""Multi-head latent attention (V2 report section 2.1; V3 report section 2.1.1), and grouped-query attention.

Both kinds split a layer's attention in the same three parts, so that a cache can stand between the first and the
second: `project` a token to its queries and to the entry that is kept of it; attend `over` entries; project `out`.

Letters of shapes, at the end of names too: B sequences, S queries of each, T entries that they see, D the model's
width, H heads, N numbers of a head's key that are not rotated, V of its value, L of the latent, R of the rotated key,
W = L + R of an entry; C of a head where keys and values are alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.model.cache import LayerCache, Queries
from centime.model.linear import BiasedLinear, Linear, RMSNorm
from centime.model.rope import softmax_scale
from centime.ops.attention import causal_attention
from centime.ops.grouped_attention import paged_grouped_attention
from centime.ops.latent.absorbed import HeadMatrices, absorb, release
from centime.ops.latent.attention import paged_latent_attention
from centime.ops.latent.past import Past
from centime.ops.precision import emulated
from centime.ops.quantised import Quantised
from centime.ops.rope import apply_rope

RopeTable = tuple[Tensor, Tensor]
LATENT_NORM_EPS = 1e-6  # whatever rms_norm_eps is: modeling_deepseek.py of V2 and V3, and transformers, leave it out


class MultiHeadLatentAttention(nn.Module):
    """MLA: keys and values are up-projections of one latent a token, plus one rotated key that all heads share.

    Expanded, the latent becomes per-head keys and values (eq. 9 to 19 of the V2 report). Absorbed, W_UK goes into the
    query and W_UV into the output, and the cached latents themselves are the keys: the same numbers in another order of
    multiplication (section 2.1.2, last paragraph). Training and long prompts expand, decoding absorbs.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.kv_lora_rank is not None
        D, H = config.hidden_size, config.num_attention_heads
        self.heads, self.latent_dim = H, config.kv_lora_rank
        self.nope, self.rope_dim, self.v_dim = config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
        self.interleave, self.scale = config.rope_interleave, softmax_scale(config)
        self.low_rank_query = config.q_lora_rank is not None
        query = H * (self.nope + self.rope_dim)
        if config.q_lora_rank is None:
            self.q = Linear(D, query)
        else:
            self.q_down = Linear(D, config.q_lora_rank)
            self.q_norm = RMSNorm(config.q_lora_rank, LATENT_NORM_EPS)
            self.q_up = Linear(config.q_lora_rank, query)
        self.kv_down = Linear(D, self.latent_dim + self.rope_dim)
        self.kv_norm = RMSNorm(self.latent_dim, LATENT_NORM_EPS)
        self.kv_up = Linear(self.latent_dim, H * (self.nope + self.v_dim))
        self.out = Linear(H * self.v_dim, D)
        self.by_heads: HeadMatrices | None = None  # W_UK and W_UV in panels, where weights are packed

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> Tensor:
        queries, entry = self.project(x_BSD, rope)
        heads = self._expanded(queries, entry) if cache is None else cache(self, queries, entry)
        projected: Tensor = self.out(heads)
        return projected

    def project(self, x_BSD: Tensor, rope: RopeTable) -> tuple[Queries, Tensor]:
        """Queries (nope, rotated) and the entry [latent; rotated key] [B, S, L + R] that the cache keeps of a token."""
        B, S, _ = x_BSD.shape
        q = self.q_up(self.q_norm(self.q_down(x_BSD))) if self.low_rank_query else self.q(x_BSD)
        q_nope, q_rope = q.view(B, S, self.heads, -1).split([self.nope, self.rope_dim], dim=-1)
        latent, k_rope = self.kv_down(x_BSD).split([self.latent_dim, self.rope_dim], dim=-1)
        k_rope = apply_rope(k_rope[:, :, None], rope, self.interleave)[:, :, 0]
        entry = torch.cat((self.kv_norm(latent), k_rope), dim=-1)
        return (q_nope, apply_rope(q_rope, rope, self.interleave)), entry

    def over(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Attention of S queries over T entries, the last S of them their own, in the cheaper form -> [B, S, H * v]."""
        S, T = queries[0].shape[1], stored_BTW.shape[1]
        expanded = T * self.latent_dim * (self.nope + self.v_dim) + S * T * (self.nope + self.rope_dim + self.v_dim)
        absorbed = S * self.latent_dim * (self.nope + self.v_dim) + S * T * (2 * self.latent_dim + self.rope_dim)
        return self._expanded(queries, stored_BTW) if expanded < absorbed else self._absorbed(queries, stored_BTW)

    def decode(self, queries: Queries, past: Past) -> Tensor:
        """N single tokens, each over entries [T_n, L + R] of its own; queries [1, N, H, .] -> [1, N, H * v]."""
        context = paged_latent_attention(self._absorb(queries)[0], past, self.scale, self.latent_dim)
        return self._release(context[None])

    def _expanded(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Per-head keys and values from the latent."""
        (B, S, H, _), T = queries[0].shape, stored_BTW.shape[1]
        latent, k_rope = stored_BTW.split([self.latent_dim, self.rope_dim], dim=-1)
        k_nope, v = self.kv_up(latent).view(B, T, H, -1).split([self.nope, self.v_dim], dim=-1)
        q = torch.cat(queries, dim=-1)
        k = torch.cat((k_nope, k_rope[:, :, None].expand(-1, -1, H, -1)), dim=-1)
        heads = causal_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), self.scale)
        return heads.transpose(1, 2).reshape(B, S, H * self.v_dim)

    def _absorbed(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Every head's query against the shared entries."""
        (B, S, H, _), T = queries[0].shape, stored_BTW.shape[1]
        absorbed = self._absorb(queries)
        if emulated(absorbed):
            stored = stored_BTW[:, None]  # one key head, and all query heads its group
            context = causal_attention(absorbed.transpose(1, 2), stored, stored[..., : self.latent_dim], self.scale)
            return self._release(context.transpose(1, 2))
        q = absorbed.transpose(1, 2).reshape(B, H * S, -1)
        scores = (q @ stored_BTW.transpose(1, 2)).float().view(B, H, S, T) * self.scale
        if S > 1:
            future = torch.ones(S, T, dtype=torch.bool, device=scores.device).triu(T - S + 1)
            scores = scores.masked_fill(future, float("-inf"))
        weights = scores.softmax(-1).to(stored_BTW.dtype).view(B, H * S, T)
        context = (weights @ stored_BTW[..., : self.latent_dim]).view(B, H, S, self.latent_dim)
        return self._release(context.transpose(1, 2))

    def _absorb(self, queries: Queries) -> Tensor:
        """[q_nope W_UK; q_rope], queries in the space of entries [B, S, H, L + R]."""
        q_nope, q_rope = queries
        return absorb(q_nope, q_rope, self.by_heads or self.kv_up_by_heads(q_nope.dtype))

    def _release(self, context_BSHL: Tensor) -> Tensor:
        """Weighted latents times W_UV -> [B, S, H * v]."""
        return release(context_BSHL, self.by_heads or self.kv_up_by_heads(context_BSHL.dtype)).flatten(2)

    def kv_up_by_heads(self, dtype: torch.dtype) -> HeadMatrices:
        """W_UK and W_UV as they are apart: views, or of a quantised matrix numbers in `dtype`."""
        kv_up = self.kv_up.matrix()
        plain = kv_up.dense(dtype) if isinstance(kv_up, Quantised) else kv_up
        return HeadMatrices.of(plain, self.nope, self.v_dim)


class GroupedQueryAttention(nn.Module):
    """Attention whose key heads are each met by H / K query heads (arXiv 2305.13245), every head rotated whole.

    Llama's, Qwen2's (biases) and Qwen3's (norms of heads); with K = H the multi-head baseline that MLA is measured
    against. K is also the letter of key heads in shapes, G that of a group's query heads.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, H, K, C = config.hidden_size, config.num_attention_heads, config.kv_heads, config.v_head_dim
        self.heads, self.kv_heads = H, K
        self.interleave, self.scale = config.rope_interleave, softmax_scale(config)
        projection = BiasedLinear if config.qkv_bias else Linear
        self.q, self.k, self.v = projection(D, H * C), projection(D, K * C), projection(D, K * C)
        self.q_norm, self.k_norm = (
            RMSNorm(C, config.rms_norm_eps) if config.qk_norm else nn.Identity() for _ in range(2)
        )
        self.out = (BiasedLinear if config.out_bias else Linear)(H * C, D)

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> Tensor:
        queries, entry = self.project(x_BSD, rope)
        heads = self.over(queries, entry) if cache is None else cache(self, queries, entry)
        projected: Tensor = self.out(heads)
        return projected

    def project(self, x_BSD: Tensor, rope: RopeTable) -> tuple[Queries, Tensor]:
        """The rotated query [B, S, H, C], and the entry [keys; values] of all key heads [B, S, 2 * K * C]."""
        B, S, _ = x_BSD.shape
        q = self.q_norm(self.q(x_BSD).view(B, S, self.heads, -1))
        k = self.k_norm(self.k(x_BSD).view(B, S, self.kv_heads, -1))
        q, k = apply_rope(q, rope, self.interleave), apply_rope(k, rope, self.interleave)
        return (q,), torch.cat((k.flatten(2), self.v(x_BSD)), dim=-1)

    def over(self, queries: Queries, stored_BTW: Tensor) -> Tensor:
        """Attention of S queries over T entries, the last S of them their own -> [B, S, H * C]."""
        k, v = (t.unflatten(-1, (self.kv_heads, -1)).transpose(1, 2) for t in stored_BTW.chunk(2, dim=-1))
        return causal_attention(queries[0].transpose(1, 2), k, v, self.scale).transpose(1, 2).flatten(2)

    def decode(self, queries: Queries, past: Past) -> Tensor:
        """N single tokens, each over entries of its own; queries [1, N, H, C] -> [1, N, H * C]."""
        return paged_grouped_attention(queries[0][0], past, self.scale, self.kv_heads).flatten(1)[None]
