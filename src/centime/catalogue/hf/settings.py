"""What each key of a config.json may hold: a type and bounds for every one that is read, checked before anything else.

The keys that ModelConfig has too are of its types; the others (aliases, derived sizes, rotary and quantisation
settings) stand here. null is allowed wherever transformers writes it for a setting that is not in use.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from centime.catalogue.hf.quantization import Quantization
from centime.catalogue.model_config import (
    Factor,
    Heads,
    Layers,
    ModelConfig,
    Number,
    Positions,
    Slope,
    Switch,
    Token,
    Width,
)
from centime.errors import UserError
from centime.json_files import brief

# Other names for the same thing.
ALIASES = {
    "num_mtp_layers": "num_nextn_predict_layers",
    "num_local_experts": "n_routed_experts",
    "num_experts": "n_routed_experts",
}
# The types that a model's weights are stored in, by torch's names; `torch_dtype` is what transformers 4 called `dtype`.
DTYPES = ("float32", "bfloat16", "float16")

_OBJECT = re.compile(r"valid dictionary or instance of \w+")  # pydantic's words for what a file calls an object
_BRANCH = re.compile(r"int|str|constrained-.*|function-.*|list\[.*|_?[A-Z].*")  # how pydantic names one side of a union
_Word = Annotated[str, Field(strict=True, max_length=200)]
_Theta = Annotated[float, Field(strict=True, gt=1, le=1e15)]


class RopeSettings(BaseModel):
    """`rope_scaling` of DeepSeek's files, `rope_parameters` of transformers 5. `rotary` names unknown keys."""

    model_config = ConfigDict(extra="allow")

    type: _Word | None = None
    rope_type: _Word | None = None
    rope_theta: _Theta | None = None
    partial_rotary_factor: Number | None = None
    truncate: Switch | None = None
    factor: Factor | None = None
    original_max_position_embeddings: Positions | None = None
    attention_factor: Number | None = None
    beta_fast: Number | None = None
    beta_slow: Number | None = None
    mscale: Slope | None = None
    mscale_all_dim: Slope | None = None
    low_freq_factor: Number | None = None
    high_freq_factor: Number | None = None


_Tokens = Annotated[list[Token], Field(max_length=1000)]
_OWN: dict[str, Any] = {
    "model_type": _Word,
    "head_dim": Width | None,
    "qk_head_dim": Width | None,
    "num_key_value_heads": Heads | None,
    "hidden_act": _Word | None,
    "bos_token_id": Token | _Tokens | None,
    "eos_token_id": Token | _Tokens | None,
    "dtype": _Word | None,
    "torch_dtype": _Word | None,
    "rope_parameters": RopeSettings | None,
    "rope_scaling": RopeSettings | None,
    "quantization_config": Quantization | None,
    "num_hidden_layers": Layers | None,
    "attention_bias": Switch | None,
    "sliding_window": Positions | None,
    "use_sliding_window": Switch | None,
    "max_window_layers": Annotated[int, Field(strict=True, ge=0)] | None,
    "layer_types": Annotated[list[_Word], Field(max_length=10_000)] | None,
}


@functools.cache
def _settings() -> type[BaseModel]:
    """One pydantic model of every key that is read, by the name it has in the file."""
    fields = {
        name: (Annotated[field.annotation | None, Field(), *field.metadata], None)  # type: ignore[operator]
        for name, field in ModelConfig.model_fields.items()
    }
    fields |= {alias: fields[name] for alias, name in ALIASES.items()}
    fields |= {name: (kind, None) for name, kind in _OWN.items()}
    made: type[BaseModel] = create_model(  # type: ignore[call-overload]
        "Settings", __config__=ConfigDict(extra="ignore"), **fields
    )
    return made


def check_types(raw: Mapping[str, Any], where: str) -> None:
    """Raises UserError naming the first key of a config.json's content that holds what it cannot."""
    try:
        _settings().model_validate({str(key): value for key, value in raw.items()})
    except ValidationError as error:
        raise UserError(explain(error, where)) from None
    for key in ("dtype", "torch_dtype"):
        if raw.get(key) is not None and raw[key].removeprefix("torch.") not in DTYPES:
            raise UserError(
                f"{where}: {key} is {brief(raw[key])}; the weights outside quantised ones are {', '.join(DTYPES)}."
            )
    if None not in (raw.get("dtype"), raw.get("torch_dtype")) and raw["dtype"] != raw["torch_dtype"]:
        raise UserError(f"{where}: dtype is {raw['dtype']!r} and torch_dtype {raw['torch_dtype']!r}; keep one of them.")


def explain(error: ValidationError, where: str) -> str:
    """The first fault that pydantic found, as a sentence: file, key, what it holds and what it should."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if not _BRANCH.fullmatch(str(part)))
    said = _OBJECT.sub("JSON object", first["msg"].removeprefix("Value error, "))
    if not name:
        return f"{where}: {said}."
    if first["type"] == "missing":
        return f"{where}: {name} is missing."
    return f"{where}: {name} is {brief(first['input'])}; {said.replace('Input', 'it', 1)}."
