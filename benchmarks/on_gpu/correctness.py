"""Every operation that has a path of its own on a GPU, against its float32 reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from centime.catalogue.presets import preset
from centime.model import Transformer
from centime.ops.attention import causal_attention, causal_attention_reference
from centime.ops.cross_entropy import linear_cross_entropy, linear_cross_entropy_reference
from centime.ops.fp8 import quantize_blocks
from centime.ops.gpu.fp8 import fp8_linear, fp8_linear_reference, quantise_rows, quantise_rows_reference
from centime.ops.gpu.latent_attention import paged_latent_attention
from centime.ops.gpu.latent_entry import Norm, write_entries, write_entries_reference
from centime.ops.gpu.router import route
from centime.ops.latent.attention import latent_attention_reference
from centime.ops.latent.past import Past, QueryGroup
from centime.ops.routed_experts import routed_experts_reference
from centime.ops.routing.selection import Selection, route_reference
from centime.serve.engine.decode_graphs import GraphedModelRunner
from centime.serve.engine.model_runner import ModelRunner
from centime.serve.kv_cache.paged_cache import Pages, StepCache, TokenSpan

WITHIN = {torch.float32: 1e-3, torch.bfloat16: 2e-2}  # norm of the difference over the norm of the reference
Found = dict[str, tuple[float, float]]  # what was compared -> (how far apart, how far it may be)


def check(device: str) -> Found:
    """All of them. On a processor Triton's interpreter runs its kernels, which multiplies no bf16 numbers."""
    dtypes = WITHIN if device == "cuda" else {torch.float32: WITHIN[torch.float32]}
    found: Found = {}
    for name, (fast, reference, leaves) in differentiable(device).items():
        for dtype, bound in dtypes.items():
            kind = str(dtype).removeprefix("torch.")
            found[f"{name}, {kind}"] = (_distance(fast, reference, leaves, dtype), bound)
    for dtype, bound in dtypes.items():
        kind = str(dtype).removeprefix("torch.")
        found[f"latent attention over pages, {kind}"] = (_latent_attention(device, dtype), bound)
        found[f"entries of the cache, {kind}"] = (_entries(device, dtype), bound)
    found |= {"FP8 product": (_fp8(device), 1e-2), "router": (_router(device), 1e-5)}
    found["absorbed decode, float32"] = (_absorbed_decode(device), WITHIN[torch.float32])
    if device == "cuda":
        found["decoding recorded as graphs, float32"] = (_graphs(device), WITHIN[torch.float32])
    return found


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return float((found.float() - expected.float()).norm() / (expected.float().norm() + 1e-12))


def _distance(
    fast: Callable[..., Tensor], reference: Callable[..., Tensor], leaves: list[Tensor], dtype: torch.dtype
) -> float:
    """Largest relative distance of output and gradients: `fast` in `dtype` from `reference` in float32."""

    def outcome(call: Callable[..., Tensor], kind: torch.dtype) -> list[Tensor]:
        inputs = [leaf.detach().to(kind).requires_grad_() for leaf in leaves]
        out = call(*inputs)
        seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.device, out.dtype)
        return [out.detach(), *torch.autograd.grad(out, inputs, seed)]

    pairs = zip(outcome(fast, dtype), outcome(reference, torch.float32), strict=True)
    return max(relative(a, b) for a, b in pairs)


def differentiable(device: str) -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]]:
    """name -> (fast, reference, float32 inputs), at DeepSeek's unequal head sizes and uneven expert loads."""
    from centime.ops.gpu.experts import routed_experts

    draw = torch.Generator().manual_seed(0)

    def randn(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=draw) * scale).to(device)

    T, D, F, E, K, V = (300, 256, 128, 16, 4, 1000) if device == "cuda" else (20, 64, 32, 3, 2, 100)
    ids = torch.stack(
        [torch.multinomial(torch.rand(E, generator=draw) ** 3 + 1e-6, K, generator=draw) for _ in range(T)]
    )
    ids, targets = ids.to(device), torch.randint(V, (T,), generator=draw).to(device)
    weights = torch.full((T,), 1 / T, device=device)
    return {
        "causal attention": (
            lambda q, k, v: causal_attention(q, k, v, 192**-0.5),
            lambda q, k, v: causal_attention_reference(q, k, v, 192**-0.5),
            [randn(2, 4, 257, 192), randn(2, 4, 257, 192), randn(2, 4, 257, 128)],
        ),
        "routed experts": (
            lambda x, g, gu, d: routed_experts(x, ids, g, gu, d),
            lambda x, g, gu, d: routed_experts_reference(x, ids, g, gu, d),
            [randn(T, D), randn(T, K).abs(), randn(E, 2, F, D, scale=D**-0.5), randn(E, D, F, scale=F**-0.5)],
        ),
        "linear cross-entropy": (
            lambda h, w: linear_cross_entropy(h, w, targets, weights),
            lambda h, w: linear_cross_entropy_reference(h, w, targets, weights),
            [randn(T, D), randn(V, D, scale=D**-0.5)],
        ),
    }


def _latent_attention(device: str, dtype: torch.dtype) -> float:
    torch.manual_seed(0)
    H, L, R, page, lengths = 16, 512, 64, 32, [1, 300, 1100]
    pages = max(-(-n // page) for n in lengths)
    stored = torch.randn(pages * len(lengths) * page, L + R).to(device, dtype)
    tables = torch.randperm(pages * len(lengths)).view(len(lengths), pages).to(device)
    q, groups = torch.randn(len(lengths), H, L + R).to(device, dtype), []
    for i, length in enumerate(lengths):
        entries = torch.cat([stored[b * page : (b + 1) * page] for b in tables[i].tolist()])[:length]
        groups.append(QueryGroup(torch.tensor([i]), entries[None].cpu()))
    past = Past(stored, page, tables, torch.tensor(lengths, device=device), lambda: groups)
    scale = (128 + R) ** -0.5
    found = paged_latent_attention(q, past, scale, L).cpu()
    return relative(found, latent_attention_reference(q.cpu(), groups, scale, L))


def _entries(device: str, dtype: torch.dtype) -> float:
    torch.manual_seed(0)
    down, norm = torch.randn(5, 512 + 64).to(device, dtype), Norm(torch.randn(512).to(device, dtype), 1e-6)
    table = (torch.randn(5, 32, device=device), torch.randn(5, 32, device=device))
    slots = torch.tensor([3, 0, 7, 9, 1], device=device)
    fast, plain = (torch.zeros(10, 576, device=device, dtype=dtype) for _ in range(2))
    write_entries(down, norm, table, True, fast, slots)
    write_entries_reference(down, norm, table, True, plain, slots)
    return relative(fast, plain)


def _fp8(device: str) -> float:
    torch.manual_seed(0)
    x, weight = torch.randn(70, 520, device=device), torch.randn(300, 520, device=device)
    (codes, scales), (plain, plain_scales) = quantise_rows(x), quantise_rows_reference(x)
    apart = relative(codes, plain) if device == "cuda" else 0.0  # the interpreter rounds otherwise
    blocks = quantize_blocks(weight)
    product = fp8_linear(plain, plain_scales, *blocks, torch.float32)
    return max(
        apart, relative(scales, plain_scales), relative(product, fp8_linear_reference(plain, plain_scales, *blocks))
    )


def _router(device: str) -> float:
    torch.manual_seed(0)
    logits, bias = torch.randn(40, 256, device=device), torch.randn(256, device=device) * 0.1
    selection = Selection("sigmoid", 8, 8, 4, 2, True, 2.5)
    (ids, gates, _), (plain_ids, plain_gates, _) = (f(logits, bias, selection) for f in (route, route_reference))
    mine, theirs = ids.sort(-1), plain_ids.sort(-1)
    if not torch.equal(mine.values, theirs.values):
        return float("inf")
    return relative(gates.gather(-1, mine.indices), plain_gates.gather(-1, theirs.indices))


def _small(device: str) -> Transformer:
    model = Transformer(preset("centime-d2"))
    model.init_weights(0)
    return model.to(device).eval()


def _absorbed_decode(device: str) -> float:
    """Cached decoding's logits from the full pass."""
    model = _small(device)
    ids = torch.randint(model.config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(2)).to(device)
    pages, parts, start = Pages(model.config, 2, 40, torch.float32, device, drafts=False), [], 0
    with torch.no_grad():
        full = model(ids)
        for part in ids.split([30, 1, 9], dim=1):
            spans = [TokenSpan([row], start, part.shape[1]) for row in range(2)]
            states = model.advance(part.reshape(1, -1), StepCache(pages, spans))
            parts.append(model.unembed(states).view(*part.shape, -1))
            start += part.shape[1]
    return relative(torch.cat(parts, dim=1), full)


def _graphs(device: str) -> float:
    """Replayed steps' states from computed ones'."""
    model, apart = _small(device), 0.0
    pages = [Pages(model.config, 4, 40, torch.float32, device, drafts=False) for _ in range(2)]
    plain, graphed = ModelRunner(model, pages[0], 100), GraphedModelRunner(model, pages[1], 100)
    for place in range(4):
        spans, tokens = [TokenSpan([1 + row], place, 1) for row in range(3)], [5 + place, 9, 3 * place]
        apart = max(apart, relative(graphed.hidden(spans, tokens), plain.hidden(spans, tokens)))
    return apart if graphed.graphs.works else float("inf")
