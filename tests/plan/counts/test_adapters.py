"""LoRA: parameters as PEFT counts them, and what people write of adapters."""

from __future__ import annotations

import pytest

from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.counts.adapters import Adapters, adapter_sizes, parse_adapters


@pytest.mark.parametrize(
    ("model", "lora", "parameters"),
    [
        # Llama 3.1 8B: D 4096, keys and values 1024, F 14336, 32 layers; PEFT 0.21.2 prints the same
        ("llama-3.1-8b", "8,targets=q_proj+v_proj", 32 * 8 * (2 * 4096 + 4096 + 1024)),
        ("llama-3.1-8b", "16", 41_943_040),
        ("llama-3.1-70b", "16", 207_093_760),
        # DeepSeek-V2-Lite: no query latent; L 512, R 64, 16 heads of 128 + 64 and 128, one dense layer of 27
        ("deepseek-v2-lite", "4,targets=kv_b_proj", 27 * 4 * (512 + 16 * 256)),
        ("deepseek-v2-lite", "4,targets=experts", 26 * 64 * 4 * ((2048 + 2 * 1408) + (1408 + 2048))),
    ],
)
def test_parameters_are_those_of_peft(model: str, lora: str, parameters: int) -> None:
    assert adapter_sizes(architecture(model), parse_adapters(lora)).parameters == parameters


def test_groups_add_up_and_experts_have_none_unless_they_are_named() -> None:
    arch = architecture("deepseek-v2-lite")
    each = {
        name: adapter_sizes(arch, Adapters(8, (name,))).parameters
        for name in ("all-linear", "attention", "mlp", "experts")
    }
    assert each["all-linear"] == each["attention"] + each["mlp"]
    both = adapter_sizes(arch, Adapters(8, ("all-linear", "experts")))
    assert (both.dense, both.expert) == (each["all-linear"], each["experts"])
    assert both.met < both.parameters / 4  # 6 of 64 experts are met


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "rank has no value; write 16"),
        ("0", "from 1 to"),
        ("sixteen", "'sixteen'; expected a whole number"),
        ("16,base=nf3", "base 'nf3' is none of bf16, fp8, nf4. Did you mean 'nf4'"),
        ("16,dtype=fp16", "dtype 'fp16' is none of"),
        ("16,target=q_proj", "Did you mean 'targets'"),
        ("16,rank=8", "given twice"),
    ],
)
def test_what_is_no_adapter_is_told(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_adapters(text)
