"""torchtitan's deepseek_v3 modules on a CPU, eager or compiled per block.

As shipped, torchtitan does not train this model on a CPU: its token dispatcher imports Triton, and FlexAttention has no
CPU backward. Both are met from outside of its files: the module that needs Triton (an all-to-all between GPUs, not
used by one process) is replaced by an empty one, and the attention is torchtitan's own ScaledDotProductAttention.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from peers.common import Step, autocast_step
from shapes import SHAPE

NEEDS_TRITON = "torchtitan.distributed.minimal_async_ep"
COMMAND_LINE = "tyro"  # torchtitan's command-line parser: left out by `pip install --no-deps`, of no use here


class _Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the named modules as empty ones whose every attribute is a mock."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = any(fullname == name or fullname.startswith(name + ".") for name in self.names)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)

        def attribute(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return MagicMock(name=f"{spec.name}.{name}")

        module.__getattr__ = attribute  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _import() -> types.ModuleType:
    absent = {COMMAND_LINE} if importlib.util.find_spec(COMMAND_LINE) is None else set()
    sys.meta_path.insert(0, _Empty({NEEDS_TRITON} | absent))
    import torchtitan.models.deepseek_v3 as deepseek

    return deepseek


def _config(deepseek: types.ModuleType, sequence: int) -> Any:
    """torchtitan's configuration of the benchmark's shape, through its own builders."""
    from torchtitan.models.common import ComplexRoPE, Embedding, Linear, RMSNorm
    from torchtitan.models.common.attention import ScaledDotProductAttention

    s: dict[str, Any] = SHAPE
    layers = deepseek._build_dsv3_layers(
        n_layers=s["num_hidden_layers"],
        n_dense_layers=s["first_k_dense_replace"],
        dim=s["hidden_size"],
        n_heads=s["num_attention_heads"],
        q_lora_rank=0,
        kv_lora_rank=s["kv_lora_rank"],
        qk_nope_head_dim=s["qk_nope_head_dim"],
        qk_rope_head_dim=s["qk_rope_head_dim"],
        v_head_dim=s["v_head_dim"],
        mscale=1.0,
        dense_hidden_dim=s["intermediate_size"],
        moe_hidden_dim=s["moe_intermediate_size"],
        num_experts=s["n_routed_experts"],
        num_shared_experts=s["n_shared_experts"],
        router_top_k=s["num_experts_per_tok"],
        router_score_func="sigmoid",
        router_route_norm=s["norm_topk_prob"],
        router_route_scale=s["routed_scaling_factor"],
        attn_backend="varlen",  # a masked backend has to be named; it is replaced below
        moe_comm_backend="standard",
        non_blocking_capacity_factor=None,
        rope=ComplexRoPE.Config(dim=s["qk_rope_head_dim"], max_seq_len=sequence),
    )
    for layer in layers:
        layer.attention.inner_attention = ScaledDotProductAttention.Config()
        layer.attention_norm.eps = layer.ffn_norm.eps = layer.attention.kv_norm.eps = 1e-6
        if layer.moe is not None:
            layer.moe.load_balance_coeff = None  # every contestant is timed without moving the correction bias
    return deepseek.DeepSeekV3Model.Config(
        vocab_size=s["vocab_size"],
        dim=s["hidden_size"],
        tok_embeddings=Embedding.Config(num_embeddings=s["vocab_size"], embedding_dim=s["hidden_size"]),
        norm=RMSNorm.Config(normalized_shape=s["hidden_size"], eps=1e-6),
        lm_head=Linear.Config(in_features=s["hidden_size"], out_features=s["vocab_size"]),
        layers=layers,
        mtp_layers=[],
    )


def build(folder: Path, sequence: int, precision: str, compiled: bool = False) -> Step:
    """The step of the model in `folder`; `compiled` compiles every block as torchtitan's trainer does."""
    deepseek = _import()
    from safetensors.torch import load_file
    from torchtitan.config import CompileConfig
    from torchtitan.distributed.compile import apply_compile

    config = _config(deepseek, sequence)
    model = config.build()
    weights = deepseek.DeepSeekV3StateDictAdapter(config, None).from_hf(load_file(folder / "model.safetensors"))
    weights = {name: value for name, value in weights.items() if not name.endswith("expert_bias_E")}
    model.load_state_dict(weights, strict=True)
    model.train()
    if compiled:
        apply_compile(model, compile_config=CompileConfig(enable=True), parallel_dims=SimpleNamespace(tp_enabled=False))
    return autocast_step(model, model, precision)
