"""tokenizer_config.json and chat_template.jinja of a model folder: read whole and checked before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from centime.catalogue.hf.settings import explain
from centime.errors import UserError
from centime.json_files import read_object, read_text

MAX_TEMPLATE = 2**20  # characters; DeepSeek-V3.1's has 3,000
_Text = Annotated[str, Field(strict=True)]
_Template = Annotated[str, Field(strict=True, max_length=MAX_TEMPLATE)]


class _Token(BaseModel):
    """An added token, as transformers writes it."""

    model_config = ConfigDict(extra="allow")

    content: _Text


class _NamedTemplate(BaseModel):
    """One of several templates."""

    model_config = ConfigDict(extra="allow")

    name: _Text
    template: _Template


class _Config(BaseModel):
    """What is read of tokenizer_config.json."""

    model_config = ConfigDict(extra="allow")

    bos_token: _Text | _Token | None = None
    eos_token: _Text | _Token | None = None
    add_bos_token: Annotated[bool, Field(strict=True)] | None = None
    chat_template: _Template | list[_NamedTemplate] | None = None


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's tokenizer_config.json as it stands, {} where there is none. Raises UserError."""
    file = folder / "tokenizer_config.json"
    if not file.exists():
        return {}
    config = read_object(file)
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        raise UserError(explain(error, str(file))) from None
    return config


def read_template(folder: Path, config: dict[str, Any]) -> str | None:
    """The folder's chat template, from its own file or the configuration; None where there is none."""
    file = folder / "chat_template.jinja"
    if file.exists():
        text = read_text(file)
        if len(text) > MAX_TEMPLATE:
            raise UserError(f"{file} has {len(text):,} characters; a chat template has at most {MAX_TEMPLATE:,}.")
        return text
    template: Any = config.get("chat_template")
    if isinstance(template, list):  # [{"name": "default", "template": ...}, ...]
        template = next((one["template"] for one in template if one["name"] == "default"), None)
    return None if template is None else str(template)
