"""Replicas as deployments of Ray Serve, on this machine or on the cluster that RAY_ADDRESS names.

Ray starts the processes, gives each its share of processors or a GPU, asks for their health, and starts another in
place of one that died. Which of them answers what the router decides, which knows what their caches hold: so every
replica is a deployment of its own, with a handle of its own.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve

from centime.errors import UserError
from centime.ledger.device import this_device
from centime.serve.replicas.replica import Replica, ReplicaInfo, ReplicaSpec

END_SECONDS = 20.0
UNLIMITED = 2**20  # requests at once: the engine has its own limits, and Ray's own queue would hide what waits


@dataclass(frozen=True)
class StartedReplica:
    """A replica that answers: Ray's handle of it, and what it told of itself."""

    name: str
    handle: Any
    info: ReplicaInfo


class RayReplicas:
    """The replicas, from their start to `stop`. Raises UserError when Ray or a replica does not start."""

    def __init__(self, spec: ReplicaSpec, count: int, gpu: bool) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        address = os.environ.get("RAY_ADDRESS")
        self._local = address is None
        options: dict[str, Any] = {"address": address or "local"}
        if address is None:
            options |= {"include_dashboard": False, "num_cpus": max(count, _processors())}
        try:
            ray.init(namespace="centime", log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = f"at RAY_ADDRESS={address}" if address else "on this machine"
            raise UserError(f"Ray does not start {where}: {_last_line(error)}.") from None
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        self._names = [f"centime-{uuid.uuid4().hex[:8]}-{rank}" for rank in range(count)]
        try:
            self.started = self._start(spec, count, gpu)
        except BaseException:
            self.stop()
            raise

    def _start(self, spec: ReplicaSpec, count: int, gpu: bool) -> Sequence[StartedReplica]:
        resources: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0}
        if not gpu:
            processors = ray.cluster_resources().get("CPU", 1) / count  # type: ignore[no-untyped-call]
            resources = {"num_cpus": int(processors) if processors >= 1 else processors}  # Ray has no 1.5 processors
        if self._local and not gpu:
            spec = dataclasses.replace(spec, threads=max(1, _processors() // count))
        deployment: Any = serve.deployment(
            Replica,
            max_ongoing_requests=UNLIMITED,
            ray_actor_options=resources,
            health_check_period_s=2,
            graceful_shutdown_timeout_s=1,  # the router has ended what was in progress
            max_constructor_retry_count=1,
            logging_config={"enable_access_log": False, "log_level": "ERROR"},
        )
        targets = [
            serve.RunTarget(deployment.options(name=name).bind(spec, rank), name=name, route_prefix=None)
            for rank, name in enumerate(self._names)
        ]
        try:
            serve.start(proxy_location="Disabled")
            handles = serve.run_many(targets)
            return [
                StartedReplica(name, handle, handle.info.remote().result())
                for name, handle in zip(self._names, handles, strict=True)
            ]
        except Exception as error:
            raise UserError(f"a replica does not start: {_reason(self._names) or _last_line(error)}") from None

    def stop(self) -> None:
        """Ends the replicas, and Ray where it was started here; a Ray that does not answer is left to itself."""
        ending = threading.Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(END_SECONDS)

    def _end(self) -> None:
        for name in self._names:
            serve.delete(name)
        ray.shutdown()  # with all its processes, where it was started here


def _processors() -> int:
    return max(1, round(this_device("cpu").vcpus or 1))


def _reason(names: Sequence[str]) -> str:
    """What the first replica that failed said last."""
    for name in names:
        application = serve.status().applications.get(name)
        for deployment in application.deployments.values() if application else ():
            if "Error" in deployment.message:
                lines = [line.strip() for line in deployment.message.splitlines() if line.strip()]
                said = [line for line in lines if "UserError: " in line]
                return said[-1].partition("UserError: ")[2] if said else lines[-1]
    return ""


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
