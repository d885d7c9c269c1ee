"""Whether a model was tuned to chat, as far as its folder tells: the page goes on with texts where it was not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from centime.json_files import read_object

BASE = re.compile(r"(^|[-_. ])base($|[-_. ])", re.IGNORECASE)


def tuned_for_chat(folder: Path, template: str | None) -> bool:
    """False for a folder that is called a base (DeepSeek-V3-Base ships a chat template too), for a run whose recipe
    has no sft, and for a model without a chat template, unless its family renders chats without one (V3.2)."""
    folder = folder.resolve()
    named = folder.parent.parent if folder.parent.name == "snapshots" else folder  # of a download cache
    if BASE.search(named.name):
        return False
    stages = _recipe(folder.parent / "recipe.toml")
    if stages is not None:
        return isinstance(stages.get("sft"), dict)  # a resolved recipe has sft = "none" where there is no such stage
    return template is not None or _family(folder).startswith("deepseek_v32")


def _recipe(path: Path) -> dict[str, Any] | None:
    """A run's recipe; None where there is none, or none that can be read: a server starts all the same."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _family(folder: Path) -> str:
    config = folder / "config.json"
    return str(read_object(config).get("model_type", "")) if config.is_file() else ""
