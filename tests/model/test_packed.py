"""A model whose weights are packed answers as before, and its weights can be had back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.model.latent_cache import LatentCache
from tests.small import small_config, small_model, small_tokenizer
from torch import nn

from centime.catalogue.model_config import ModelConfig
from centime.model import Transformer
from centime.model.linear import Linear
from centime.model.packed import is_in_panels, pack_weights
from centime.model.packed.layer import PackedDecoderLayer
from centime.model.rope import rope_for_positions
from centime.native.library import library
from centime.ops.linear import packs, unpack
from centime.ops.quantised import quantise
from centime.serve.kv_cache.disk_tier import fingerprint

VARIANTS = {
    "mla": {},
    "query-latent": {"q_lora_rank": 12},
    "tied": {"tie_word_embeddings": True},
    "mha": {"kv_lora_rank": None, "qk_nope_head_dim": 0},
}


def made(config: ModelConfig, seed: int = 0) -> Transformer:
    model = Transformer(config)
    model.init_weights(seed)
    return model.bfloat16().eval()


@pytest.fixture(params=VARIANTS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    if not packs(torch.empty(1, 1, dtype=torch.bfloat16)):
        pytest.skip("this processor only emulates bf16")
    return ModelConfig.model_validate(small_config(300).model_dump() | VARIANTS[request.param])


@torch.inference_mode()
def test_logits_as_near_to_those_of_float32(config: ModelConfig) -> None:
    models, off = (made(config).float(), made(config), pack_weights(made(config))), torch.zeros(3)
    for tokens in (1, 3, 40):
        ids = torch.randint(300, (1, tokens), generator=torch.Generator().manual_seed(tokens))
        caches = [LatentCache(config, 1, 40, model.embed.weight.dtype) for model in models]
        logits = [model.unembed(model.advance(ids, cache)).float() for model, cache in zip(models, caches, strict=True)]
        off += torch.stack([(each - logits[0]).abs().sum() for each in (torch.zeros(1), *logits[1:])])
    assert off[2] < 1.1 * off[1] < 0.1 * off[0]


@torch.inference_mode()
def test_a_layer_in_three_calls_is_that_of_the_modules(config: ModelConfig) -> None:
    plain, packed = made(config), pack_weights(made(config))
    layer, other = plain.layers[-1], packed.layers[-1]
    if not isinstance(other, PackedDecoderLayer):
        pytest.skip("no kernels of our own for this attention")
    x = torch.randn(2, 21, config.hidden_size, generator=torch.Generator().manual_seed(0)).bfloat16()
    rope = rope_for_positions(config, torch.arange(30, 51))
    attention, normed = layer.attention, layer.attention_norm(x)
    (nope, rotated), entry = attention.project(normed, rope)
    q, own = other.native.project(x.flatten(0, 1), *(part.repeat(2, 1) for part in rope))
    assert_near(q, torch.cat((nope, rotated), dim=-1).flatten(0, 1))
    assert_near(own, entry.flatten(0, 1))
    alone = other.native.project(x[0, 7:8], *(part[7:8] for part in rope))
    assert torch.equal(alone[0][0], q[7])  # the same bits in any company
    assert torch.equal(alone[1][0], own[7])
    heads = torch.randn(42, attention.out.weight.shape[1], generator=torch.Generator().manual_seed(1)).bfloat16()
    h = x.flatten(0, 1) + attention.out(heads)
    fed = layer.ffn(layer.ffn_norm(h)[None])
    y = other.native.finish(x.flatten(0, 1), heads)
    assert_near(y, h + (fed[0][0] if isinstance(fed, tuple) else fed[0]))
    assert torch.equal(other.native.finish(x[0, 7:8], heads[7:8])[0], y[7])
    assert_near(other(x, rope)[0], layer(x, rope)[0])


def assert_near(one: torch.Tensor, two: torch.Tensor) -> None:
    """bf16 keeps 256 parts of a number; several are added up."""
    torch.testing.assert_close(one, two, rtol=0.0, atol=two.abs().max().item() / 60)


def test_weights_are_held_once_and_can_be_had_back(config: ModelConfig) -> None:
    plain, packed = made(config), pack_weights(made(config))
    state = {name: unpack(weight) for name, weight in packed.named_parameters()}
    for name, weight in plain.named_parameters():
        if name in state:
            assert torch.equal(state[name].view_as(weight), weight)
        else:  # a stack of experts, now one by one
            assert torch.equal(torch.stack([state[f"{name}.{e}"] for e in range(len(weight))]).view_as(weight), weight)
    tied = config.tie_word_embeddings * plain.embed.weight.numel()
    assert sum(w.numel() for w in state.values()) == sum(w.numel() for w in plain.parameters()) + tied


def test_the_fingerprint_sees_packed_weights(config: ModelConfig) -> None:
    assert fingerprint(pack_weights(made(config))) == fingerprint(pack_weights(made(config)))
    other = made(config)
    with torch.no_grad():
        other.layers[0].ffn.down.mul_(1.5)
    assert fingerprint(pack_weights(other)) != fingerprint(pack_weights(made(config)))


def test_fp32_stays_as_it_is(tmp_path: Path) -> None:
    model = small_model(small_tokenizer(tmp_path))
    before = {name: weight.data_ptr() for name, weight in model.state_dict().items()}
    assert {name: weight.data_ptr() for name, weight in pack_weights(model).state_dict().items()} == before


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("latent", [12, 13])
def test_quantised_layers_of_odd_and_even_latents(kind: str, latent: int) -> None:
    if not packs(torch.empty(1, 1, dtype=torch.bfloat16)):
        pytest.skip("this processor only emulates bf16")
    config = ModelConfig.model_validate(small_config(300).model_dump() | {"kv_lora_rank": latent})
    model = made(config)
    for module in model.modules():
        for name in ("weight",) if isinstance(module, Linear) else ("gate_up", "down"):
            if isinstance(getattr(module, name, None), nn.Parameter):
                setattr(module, name, quantise(getattr(module, name), kind))
    ids = torch.randint(300, (1, 30), generator=torch.Generator().manual_seed(0))
    logits = []
    for each in (model, pack_weights(model)):
        cache = LatentCache(config, 1, 40, torch.bfloat16)
        logits.append(torch.cat([each.unembed(each.advance(part, cache)).float() for part in ids.split([29, 1], 1)], 1))
    off = (logits[1] - logits[0]).norm(dim=-1) / logits[0].norm(dim=-1)
    assert off.median() < 0.06  # inputs of 8 bits; an expert chosen otherwise moves one token further
    if library() is not None:
        assert is_in_panels(model) is (latent % 2 == 0)
