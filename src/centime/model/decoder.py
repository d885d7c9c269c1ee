"""The whole model: embedding, decoder blocks, final norm and head, with MTP modules beside them.

Letters of shapes: B sequences, S tokens of each, D the model's width, V the vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from centime.catalogue.model_config import ModelConfig
from centime.model.attention import GroupedQueryAttention, MultiHeadLatentAttention, RopeTable
from centime.model.cache import Attention, Cache, LayerCache, Queries
from centime.model.experts import FeedForward, MixtureOfExperts
from centime.model.linear import Linear, RMSNorm
from centime.model.rope import positions, rope_for_positions
from centime.model.router import Router, Routing
from centime.ops.linear import linear
from centime.ops.quantised import Quantised


class SharedRows(Protocol):
    """Rows of several sequences each: none sees another, and positions begin anew with each."""

    positions_BS: Tensor  # int64

    def attend(self, attention: Attention, queries: Queries, entry_BSW: Tensor) -> Tensor:
        """What every layer does between a token's projections and its attention, as a layer's view of a cache would."""


class Features(NamedTuple):
    """What the head turns into logits, and how its tokens were routed."""

    hidden: Tensor  # [B, S, D], normed
    routings: list[Routing]  # one an MoE layer, in order


class DecoderLayer(nn.Module):
    """Pre-norm decoder layer: x + attention(norm(x)), then x + ffn(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = MultiHeadLatentAttention(config) if config.is_mla else GroupedQueryAttention(config)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn: MixtureOfExperts | FeedForward = (
            MixtureOfExperts(config)
            if config.layer_has_experts(layer)
            else FeedForward(config.hidden_size, config.intermediate_size)
        )

    def forward(self, x_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None) -> tuple[Tensor, Routing | None]:
        x = x_BSD + self.attention(self.attention_norm(x_BSD), rope, cache)
        normed = self.ffn_norm(x)
        if isinstance(self.ffn, FeedForward):
            return x + self.ffn(normed), None
        y, routing = self.ffn(normed)
        return x + y, routing


class MultiTokenPrediction(nn.Module):
    """One MTP module: predicts one token further ahead from the previous depth (V3 report section 2.2, eq. 21 to 23).

    The embedding and the head are the main model's; only the norms, the projection and one block are its own.
    """

    def __init__(self, config: ModelConfig, depth: int) -> None:
        super().__init__()
        D, eps = config.hidden_size, config.rms_norm_eps
        self.embed_norm, self.hidden_norm, self.norm = (RMSNorm(D, eps) for _ in range(3))
        self.project = Linear(2 * D, D)
        self.block: nn.Module = DecoderLayer(config, config.num_hidden_layers + depth)

    def forward(
        self, hidden_BSD: Tensor, embedding_BSD: Tensor, rope: RopeTable, cache: LayerCache | None = None
    ) -> tuple[Tensor, Routing | None]:
        """Representation at depth k - 1 and embedding of the token k ahead, both [B, S, D] -> that of depth k."""
        x = self.project(torch.cat((self.embed_norm(embedding_BSD), self.hidden_norm(hidden_BSD)), dim=-1))
        out: tuple[Tensor, Routing | None] = self.block(x, rope, cache)
        return out


class Transformer(nn.Module):
    """A language model of DeepSeek-V2's or V3's family, or one with grouped queries: token ids in, logits out.

    Weights are uninitialised until `init_weights` or `centime.load`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(
            config.vocab_size, config.hidden_size, _weight=torch.empty(config.vocab_size, config.hidden_size)
        )
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)
        self.mtp = nn.ModuleList(MultiTokenPrediction(config, k) for k in range(config.num_nextn_predict_layers))

    def forward(self, input_ids_BS: Tensor) -> Tensor:
        """Token ids int64 [B, S] -> logits [B, S, V]."""
        return self.unembed(self.features(input_ids_BS).hidden)

    def advance(self, input_ids_BS: Tensor, cache: Cache, routings: list[Routing] | None = None) -> Tensor:
        """The serving path: normed hidden states [B, S, D] of tokens that follow those in the cache, kept there too.

        Each MoE layer's routing is added to `routings`, if given; layers of packed weights tell none.
        """
        rope = rope_for_positions(self.config, cache.positions(input_ids_BS.shape[1]))
        x = self.embed(input_ids_BS)
        for i, block in enumerate(self.layers):
            x, routing = block(x, rope, cache.layer(i))
            if routings is not None and routing is not None:
                routings.append(routing)
        cache.advance(input_ids_BS.shape[1])
        hidden: Tensor = self.norm(x)
        return hidden

    def features(self, input_ids_BS: Tensor, rows: SharedRows | None = None) -> Features:
        """The training path: what the head sees at every position, and each MoE layer's routing.

        rows: who sees whom, and where each stands; by default a row is one sequence.
        """
        rope, over = self._within(rows, input_ids_BS)
        x, routings = self.embed(input_ids_BS), []
        for block in self.layers:
            x, routing = block(x, rope, over)
            if routing is not None:
                routings.append(routing)
        return Features(self.norm(x), routings)

    def guess(self, hidden_BSD: Tensor, next_ids_BS: Tensor, cache: Cache) -> Tensor:
        """What the first MTP module makes of states from `advance` and the tokens after them, [B, S, D] normed.

        Unembedded, position i predicts the token after next: a draft. The module's entries go to the cache's layer
        after the decoder's last.
        """
        module = self.mtp[0]
        assert isinstance(module, MultiTokenPrediction)
        rope = rope_for_positions(self.config, cache.positions(next_ids_BS.shape[1]))
        x, _ = module(hidden_BSD, self.embed(next_ids_BS), rope, cache.layer(self.config.num_hidden_layers))
        hidden: Tensor = module.norm(x)
        return hidden

    def mtp_features(self, hidden_BSD: Tensor, ids: Tensor, rows: SharedRows | None = None) -> list[Features]:
        """Features of every MTP depth; at depth k (from 1), position i predicts token i + 1 + k.

        hidden [B, S, D] comes from `features`, normed as published engines feed it to DeepSeek's MTP weights;
        ids [B, at least S + depths] are the tokens with those that follow; rows: as `features` had them.
        """
        S = hidden_BSD.shape[1]
        rope, over = self._within(rows, ids[:, :S])
        x, found = hidden_BSD, []
        for k, module in enumerate(self.mtp, start=1):
            x, routing = module(x, self.embed(ids[:, k : k + S]), rope, over)
            norm: RMSNorm = module.norm  # type: ignore[assignment]
            found.append(Features(norm(x), [] if routing is None else [routing]))
        return found

    def _within(self, rows: SharedRows | None, input_ids_BS: Tensor) -> tuple[RopeTable, LayerCache | None]:
        """The rotary table of a pass without a cache, and what stands in for one."""
        where = positions(0, input_ids_BS.shape[1], input_ids_BS.device) if rows is None else rows.positions_BS
        return rope_for_positions(self.config, where), None if rows is None else rows.attend

    @property
    def dtype(self) -> torch.dtype:
        """The type of activations, and of the embedding; matrices may be quantised or packed."""
        return self.embed.weight.dtype

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, quantised ones as such (`state_dict` has their codes alone)."""
        kept = {name: weight for name, weight in self.named_parameters() if isinstance(weight, Quantised)}
        return {**self.state_dict(), **kept}

    @property
    def head_weight(self) -> Tensor:
        """The output matrix [V, D]; the embedding itself when they are tied."""
        return self.embed.weight if self.head is None else self.head.matrix()

    def unembed(self, hidden: Tensor) -> Tensor:
        """Normed hidden states [..., D] -> logits [..., V]."""
        return linear(hidden, self.head_weight)

    def routers(self) -> list[Router]:
        """Every router, decoder layers first, then MTP modules: the order in which routings come."""
        return [module for module in self.modules() if isinstance(module, Router)]

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Matrices normal(0, initializer_range), norms 1, biases 0 (V3 report section 4.2)."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * self.config.initializer_range)
        for router in self.routers():
            if hasattr(router, "e_score_correction_bias"):
                router.e_score_correction_bias.zero_()
