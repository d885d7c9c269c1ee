"""Whether a model was tuned to chat, as far as its folder tells: the page goes on with texts where it was not."""

from __future__ import annotations

import json
import re
from pathlib import Path

from centime import recipe
from centime.errors import UserError

BASE = re.compile(r"(^|[-_. ])base($|[-_. ])", re.IGNORECASE)


def tuned_for_chat(folder: Path, template: str | None) -> bool:
    """False for a folder that is called a base (DeepSeek-V3-Base ships a chat template too), for a run whose recipe
    has no sft, and for a model without a chat template, unless its family renders chats without one (V3.2)."""
    folder = folder.resolve()
    named = folder.parent.parent if folder.parent.name == "snapshots" else folder  # of a download cache
    if BASE.search(named.name):
        return False
    if (folder.parent / "recipe.toml").is_file():
        try:
            return recipe.read(folder.parent / "recipe.toml").sft is not None
        except UserError:
            return True  # of another version: nothing speaks against it
    return template is not None or _family(folder).startswith("deepseek_v32")


def _family(folder: Path) -> str:
    config = folder / "config.json"
    return str(json.loads(config.read_text("utf-8")).get("model_type", "")) if config.is_file() else ""
