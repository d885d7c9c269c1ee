"""In what format a checkpoint holds its weights: `quantization_config` of a config.json, however it is written.

Read are FP8 (DeepSeek's blocks, fbgemm), MXFP4, NVIDIA's ModelOpt (FP8, NVFP4, MXFP8 and mixtures of them), AWQ, GPTQ
and its kin, compressed-tensors and bitsandbytes. Experts may be in another format than what every token meets.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from centime.catalogue.architecture import StoredWeights
from centime.catalogue.decoders.keys import ConfigKeys

_INTEGERS = ("awq", "gptq", "gptq_marlin", "auto-round", "auto_round", "intel/auto-round", "autoround", "awq_marlin")
_ALGORITHMS = {"NVFP4": "fp4", "FP8": "fp8", "MXFP8": "fp8", "MXFP4": "mxfp4", "FP8_PB_WO": "fp8"}
_ALGORITHMS |= {"W4A16_NVFP4": "fp4", "W4A8_NVFP4_FP8": "fp4", "W4A8_AWQ": "int4", "W4A16_AWQ": "int4"}
# A name, or the end of a pattern of names, of all of a layer's attention; norms inside it are never quantised.
_ATTENTION = re.compile(r"(self_attn|linear_attn|attn|attention)([.]?[*])*$")


def stored_weights(outer: ConfigKeys, keys: ConfigKeys) -> StoredWeights | None:
    """The format of the weights; None where they are not quantised, or by a method that is not known.

    Raises UserError where quantization_config is no object, or bits no number.
    """
    found = outer.inner("quantization_config") or keys.inner("quantization_config")
    if found is None:
        return None
    method = found.text("quant_method") or ("modelopt" if found.get("quant_algo") else "")
    main = _precision(found, method)
    if main is None:
        return None
    experts = _ALGORITHMS.get(found.text("moe_quant_algo"), "")  # apart, in NVIDIA's DeepSeek-V4 and DeepSeek's own
    experts = experts or ("mxfp4" if keys.text("expert_dtype") == "fp4" else "")
    if experts:
        return StoredWeights(method, experts, main)
    if found.text("quant_algo") == "MIXED_PRECISION":
        return _mixed(found, method, main)
    kept = found.get("modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules")
    names = [name for name in kept if isinstance(name, str)] if isinstance(kept, list) else []
    apart = method == "mxfp4" or any(_ATTENTION.search(name) for name in names)  # gpt-oss quantises experts alone
    return StoredWeights(method, main, "bf16" if apart else main)


def _precision(found: ConfigKeys, method: str) -> str | None:
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        return method.removeprefix("fbgemm_")
    if method in _INTEGERS:
        return _integer(found.whole("bits", "w_bit", default=4), products=False)
    if method == "bitsandbytes":
        eight = found.flag("load_in_8bit", "_load_in_8bit")
        return "int8" if eight else "int4"
    groups = found.inner("config_groups")
    first = groups.inner(*groups.raw) if groups is not None and groups.raw else None
    weights = first.inner("weights") if first is not None else None
    if weights is None:
        return _ALGORITHMS.get(found.text("quant_algo").upper())
    assert first is not None  # it held the weights
    bits, group = weights.whole("num_bits", default=8), weights.whole("group_size")
    if weights.text("type") == "float":
        return "fp8" if bits == 8 else "mxfp4" if group == 32 else "fp4"
    return _integer(bits, products=first.get("input_activations") is not None)


def _integer(bits: int | None, products: bool) -> str | None:
    """The nearest format of integers; products: whether activations are integers too."""
    if bits is None or bits > 8:
        return None
    return "int4" if bits <= 4 else "int8" if products else "int8 weights"


def _mixed(found: ConfigKeys, method: str, main: str) -> StoredWeights:
    """Of layers that are listed one by one: the commonest format of experts, and that of the others."""
    listed = found.get("quantized_layers")
    formats: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for name, how in listed.items() if isinstance(listed, dict) else ():
        said = _ALGORITHMS.get(_algorithm(how))
        if said is not None:
            formats["expert" in name and "shared" not in name][said] += 1
    commonest = {kind: counts.most_common(1)[0][0] for kind, counts in formats.items() if counts}
    rest = commonest.get(False, "bf16" if commonest else main)
    return StoredWeights(method, commonest.get(True, rest), rest)


def _algorithm(how: Any) -> str:
    said = how.get("quant_algo") if isinstance(how, dict) else None
    return said if isinstance(said, str) else ""
