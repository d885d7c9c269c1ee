"""How a page that centime wrote is known again: by its generator, or by the title that earlier ones have."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = 4096  # bytes
_OURS = re.compile(r'<meta name="generator" content="centime |<title>[^<]* – centime( run report)?</title>')


def is_page(path: Path) -> bool:
    """Whether the file is a plan's or a run's page. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", "replace")
    return head.lower().startswith("<!doctype html>") and _OURS.search(head) is not None
