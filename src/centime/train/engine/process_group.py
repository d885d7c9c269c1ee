"""The processes of a run: torchrun starts one a device, and a run without it is a process alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that torchrun started; alone without it."""

    rank: int = 0
    world: int = 1
    local: int = 0


def ranks() -> Ranks:
    """From torchrun's environment."""
    get = os.environ.get
    return Ranks(int(get("RANK", "0")), int(get("WORLD_SIZE", "1")), int(get("LOCAL_RANK", "0")))


def device_of(place: Ranks) -> torch.device:
    """This rank's GPU where there is one, else the CPU."""
    return torch.device("cuda", place.local) if torch.cuda.is_available() else torch.device("cpu")


@contextlib.contextmanager
def group(place: Ranks) -> Iterator[None]:
    """The process group of all ranks (NCCL on GPUs, gloo on CPUs) while open; nothing for a process alone."""
    if place.world == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def from_first(value: T, place: Ranks) -> T:
    """The first rank's value, on every rank."""
    if place.world == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    found: T = box[0]
    return found
