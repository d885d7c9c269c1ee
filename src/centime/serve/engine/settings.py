"""What the person who starts an engine may choose, with sane values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from centime.errors import UserError


@dataclass(frozen=True)
class EngineSettings:
    """How one engine serves: what a step may compute, what may run and wait, and what is kept.

    step_tokens: most tokens computed in one step, prompts and answers together; long prompts take several steps.
    max_running: answers in progress at once; max_waiting: requests of one owner that may wait, the next is refused.
    block_tokens: tokens in a block of the cache. cache_bytes: memory for it; None: a quarter of what is free.
    prefix_cache: whether a prompt may find the beginning of an earlier one of its owner; False keeps nothing.
    drafts: let MTP modules, where the model has them, propose tokens. deterministic: the same bits for a request
    whatever runs beside it, at a price (docs/serve.md). disk, disk_bytes: where cached prefixes survive a restart, and
    how much room they may take. routings: keep beside every cached token which experts it visited, for requests with a
    record. check: verify the cache's books after every step (for tests; slow).
    """

    step_tokens: int = 512
    max_running: int = 64
    max_waiting: int = 256
    block_tokens: int = 32
    cache_bytes: int | None = None
    prefix_cache: bool = True
    drafts: bool = True
    deterministic: bool = False
    disk: Path | None = None
    disk_bytes: int = 4 * 2**30
    routings: bool = False
    check: bool = False

    def __post_init__(self) -> None:
        for name in ("step_tokens", "max_running", "block_tokens", "disk_bytes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; give at least 1.")
        if self.disk is not None and not self.prefix_cache:
            raise UserError("a disk cache keeps prefixes, and without the prefix cache there are none; leave one out.")
        if self.disk is not None and self.routings:
            raise UserError("routings are kept in memory alone, and a prefix read from disk has none; leave one out.")
        if self.max_waiting < 0:
            raise UserError(f"max_waiting is {self.max_waiting}; give at least 0.")
