"""The processes of a run, from what torchrun says of them; a process alone talks to nobody."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import torch.distributed as dist

from centime.train.engine.process_group import Ranks, device_of, from_first, group, ranks

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}


def test_a_process_is_alone_unless_torchrun_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert ranks() == Ranks(0, 1, 0)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert ranks() == Ranks(rank=5, world=8, local=1)


@pytest.mark.parametrize(("gpus", "device"), [(False, "cpu"), (True, "cuda:1")])
def test_each_process_has_the_gpu_of_its_place(monkeypatch: pytest.MonkeyPatch, gpus: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    assert device_of(Ranks(5, 8, 1)) == torch.device(device)


@pytest.mark.parametrize(
    ("gpus", "world", "did"),
    [(False, 1, []), (False, 2, ["gloo", "destroyed"]), (True, 2, [1, "nccl", "destroyed"]), (True, 1, [])],
)
def test_a_group_is_made_of_several_and_taken_down_whatever_happens(
    monkeypatch: pytest.MonkeyPatch, gpus: bool, world: int, did: list[Any]
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", done.append)
    monkeypatch.setattr(dist, "init_process_group", done.append)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: done.append("destroyed"))
    with contextlib.suppress(ZeroDivisionError), group(Ranks(1, world, 1)):
        assert done == did[:-1]
        raise ZeroDivisionError
    assert done == did


def test_the_first_ranks_value_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    def broadcast(box: list[str], src: int) -> None:
        box[0] = f"of rank {src}"

    monkeypatch.setattr(dist, "broadcast_object_list", broadcast)
    assert from_first("mine", Ranks(0, 1)) == "mine"
    assert from_first("mine", Ranks(1, 2)) == "of rank 0"
