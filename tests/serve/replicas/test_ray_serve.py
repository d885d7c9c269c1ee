"""What Ray is asked for, and what its failures are told as: with a Ray that only remembers what it was asked."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from centime.errors import UserError
from centime.serve.engine.settings import EngineSettings
from centime.serve.replicas.replica import ReplicaInfo, ReplicaSpec

pytest.importorskip("ray", reason="no Ray: pip install 'centime[replicas]'")
pytestmark = pytest.mark.slow  # Ray takes seconds to import

SPEC = ReplicaSpec(Path("model"), None, None, None, EngineSettings())


class Asked:
    """As much of Ray, and of Ray Serve, as replicas need: a cluster of `processors` on which everything starts."""

    def __init__(self, processors: float = 6) -> None:
        self.processors = processors
        self.init_options: dict[str, Any] = {}
        self.resources: dict[str, Any] = {}
        self.bound: list[tuple[str, ReplicaSpec, int]] = []
        self.deleted: list[str] = []
        self.down = False
        self.told: dict[str, list[str]] = {}  # what a deployment says of itself, by application
        self.fails: Exception | None = None

    def init(self, **options: Any) -> None:
        self.init_options = options

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.processors}

    def shutdown(self) -> None:
        self.down = True

    def deployment(self, replica: Any, **options: Any) -> Asked:
        self.resources = options["ray_actor_options"]
        return self

    def options(self, name: str) -> Any:
        return SimpleNamespace(bind=lambda spec, rank: self.bound.append((name, spec, rank)) or name)

    def start(self, **_: Any) -> None:
        pass

    def RunTarget(self, target: str, name: str, route_prefix: None) -> Any:
        return SimpleNamespace(target=target, name=name, route_prefix=route_prefix)

    def run_many(self, targets: list[Any]) -> list[Any]:
        if self.fails is not None:
            raise self.fails
        assert [(one.target, one.route_prefix) for one in targets] == [(one.name, None) for one in targets]
        info = SimpleNamespace(result=lambda: ReplicaInfo(64, 300, "node"))
        return [SimpleNamespace(info=SimpleNamespace(remote=lambda: info)) for _ in targets]

    def status(self) -> Any:
        made = {
            name: SimpleNamespace(deployments={at: SimpleNamespace(message=text) for at, text in enumerate(said)})
            for name, said in self.told.items()
        }
        return SimpleNamespace(applications=made)

    def delete(self, name: str) -> None:
        self.deleted.append(name)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from centime.serve.replicas import ray_serve

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_serve, "_processors", lambda: 4)
    return ray_serve


def put(module: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: Asked) -> Asked:
    for name in ("ray", "serve"):
        monkeypatch.setattr(module, name, asked)
    return asked


def test_replicas_of_this_machine_share_its_processors(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = put(module, monkeypatch, Asked())
    replicas = module.RayReplicas(SPEC, 2, gpu=False)
    options = asked.init_options
    assert (options["address"], options["num_cpus"], options["include_dashboard"]) == ("local", 4, False)
    assert asked.resources == {"num_cpus": 3}
    names = [one.name for one in replicas.started]
    assert [(name, rank) for name, _, rank in asked.bound] == list(zip(names, [0, 1], strict=True))
    assert len(set(names)) == 2
    assert {spec.threads for _, spec, _ in asked.bound} == {2}
    assert [one.info.context for one in replicas.started] == [64, 64]
    assert (asked.deleted, asked.down) == ([], False)
    replicas.stop()
    assert (asked.deleted, asked.down) == (names, True)


@pytest.mark.parametrize(
    ("count", "gpu", "processors", "resources"),
    [
        (8, False, 4.0, {"num_cpus": 0.5}),
        (4, False, 4.0, {"num_cpus": 1}),
        (4, False, 6.0, {"num_cpus": 1}),  # Ray has no 1.5 processors
        (4, True, 4.0, {"num_gpus": 1, "num_cpus": 0}),
    ],
)
def test_each_replica_has_its_part_of_the_cluster(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    gpu: bool,
    processors: float,
    resources: dict[str, float],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    asked = put(module, monkeypatch, Asked(processors))
    module.RayReplicas(SPEC, count, gpu=gpu)
    assert asked.init_options["address"] == "10.0.0.1:6379"
    assert "num_cpus" not in asked.init_options
    assert asked.resources == resources
    assert {spec.threads for _, spec, _ in asked.bound} == {None}  # the machines of a cluster say themselves


def test_more_replicas_than_processors_have_one_each(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = put(module, monkeypatch, Asked())
    module.RayReplicas(SPEC, 6, gpu=False)
    assert asked.init_options["num_cpus"] == 6
    assert {spec.threads for _, spec, _ in asked.bound} == {1}


@pytest.mark.parametrize(("address", "where"), [(None, "on this machine"), ("nowhere:1", "at RAY_ADDRESS=nowhere:1")])
def test_a_ray_that_does_not_start_is_a_sentence(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, address: str | None, where: str
) -> None:
    def init(**_: Any) -> None:
        raise ConnectionError("long\nno such place")

    asked = put(module, monkeypatch, Asked())
    monkeypatch.setattr(asked, "init", init)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=rf"^Ray does not start {where}: no such place\.$"):
        module.RayReplicas(SPEC, 2, gpu=False)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["HEALTHY", "RuntimeError\n  UserError: the weights\n are damaged: UserError: cut short\n\n"], "cut short"),
        (["Error: x\n the last line \n"], "the last line"),
        (["HEALTHY"], "what Ray says"),
        ([], "what Ray says"),
    ],
)
def test_a_replica_that_does_not_start_says_why_and_leaves_none_behind(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, told: list[str], said: str
) -> None:
    asked = put(module, monkeypatch, Asked())
    asked.fails = RuntimeError("at length\nwhat Ray says")
    run_many = asked.run_many

    def failing(targets: list[Any]) -> list[Any]:
        asked.told = {targets[1].name: told}
        return run_many(targets)

    monkeypatch.setattr(asked, "run_many", failing)
    with pytest.raises(UserError, match=rf"^a replica does not start: {said}$"):
        module.RayReplicas(SPEC, 2, gpu=False)
    assert asked.down
    assert len(asked.deleted) == 2


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("the actor died\n  because of this\n"), "  because of this"),
        (RuntimeError(" one line "), "one line"),
        (ValueError(" \n "), "ValueError"),
    ],
)
def test_of_several_lines_the_last_and_of_none_the_kind(module: ModuleType, error: Exception, line: str) -> None:
    assert module._last_line(error) == line
