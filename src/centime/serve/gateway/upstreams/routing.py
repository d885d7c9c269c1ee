"""Which server a request goes to, by the model it names: names and aliases, weights, fallbacks, vendors' prefixes."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from centime.catalogue.tariffs import Tariff
from centime.errors import nearest
from centime.serve.gateway.upstreams.backend import Backend
from centime.serve.http.errors import ApiError


@dataclass(frozen=True)
class Target:
    """A server, and what it calls the model; model None: as the client did. fallback: asked after all others."""

    backend: Backend
    model: str | None = None
    weight: float = 1.0
    fallback: bool = False


@dataclass(frozen=True)
class Route:
    """Where requests for one model may go. tariff: the model's own, None: that of whoever answers."""

    targets: tuple[Target, ...]
    tariff: Tariff | None = None

    def order(self, draw: Callable[[Target], float]) -> list[Target]:
        """All targets, the first to ask first: those that are ready before those that rest, fallbacks after the others.

        draw: a number in (0, 1) of a target. A target of weight w comes first with probability w over the sum of all
        weights: the keys u^(1/w) of weighted sampling without replacement (Efraimidis and Spirakis 2006, algorithm A).
        """
        ranked = sorted(self.targets, key=lambda one: math.log(draw(one)) / one.weight, reverse=True)
        return sorted(ranked, key=lambda one: (not one.backend.health.ready, one.fallback))


def at_random(target: Target) -> float:
    """A draw anew for each request."""
    return 1.0 - random.random()


def by_conversation(body: Mapping[str, Any], key: str) -> Callable[[Target], float]:
    """Draws that are the same for every turn of a conversation: of the key, its user, and how the conversation begins.

    A server that leaves takes only its own conversations along (rendezvous hashing: Thaler and Ravishankar 1998).
    """
    begins = body.get("messages") or body.get("prompt") or body.get("input")
    first = begins[:2] if isinstance(begins, list) else str(begins)[:1024]
    users = body.get("user_id") or body.get("user") or body.get("metadata")
    identity = repr((key, users, body.get("system"), first)).encode("utf-8", "replace")

    def draw(target: Target) -> float:
        told = hashlib.blake2b(identity, digest_size=8, key=target.backend.name.encode()[:64]).digest()
        return (int.from_bytes(told, "big") + 1) / (2**64 + 1)

    return draw


@dataclass(frozen=True, kw_only=True)
class Routes:
    """The models of a gateway at one moment. named: by name and by alias; own: the upstreams' own models that are
    offered under their names, read anew as they come and go; default: what gets every other name."""

    named: Mapping[str, Route]
    aliases: Mapping[str, str] = field(default_factory=dict)  # alias -> the name it stands for
    backends: tuple[Backend, ...] = ()
    offered: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # by upstream; None: all it lists
    prefixes: frozenset[str] = frozenset()
    default: Backend | None = None
    sticky: bool = False
    attempts: int = 1

    def find(self, model: Any) -> Route:
        """Where a request goes that names this model. Raises ApiError: 404 for an unknown name, 400 for none."""
        if isinstance(model, str) and (found := self._find(model)) is not None:
            return found
        if self.default is not None:
            return Route((Target(self.default),))
        if not isinstance(model, str) or not model:
            raise ApiError(400, "model is missing; GET /v1/models lists those there are.", param="model")
        names = [*self.named, *(name for one in self.backends for name in self.own_models(one))]
        raise ApiError(
            404, f"The model {model!r} does not exist here.{nearest(model, names)}", param="model",
            code="model_not_found",
        )  # fmt: skip

    def _find(self, model: str) -> Route | None:
        if (route := self.named.get(model)) is not None:
            return route
        if own := tuple(Target(one) for one in self.backends if model in self.own_models(one)):
            return Route(own)
        vendor, slash, rest = model.partition("/")
        if not slash:
            return None
        for one in self.backends:
            if one.name == vendor and rest in self.own_models(one):
                return Route((Target(one, rest),))
        return self._find(rest) if vendor in self.prefixes else None

    def own_models(self, backend: Backend) -> Iterable[str]:
        """Which of an upstream's models are offered under their own names."""
        offered = self.offered.get(backend.name, frozenset())
        return backend.facts.models if offered is None else offered

    def listed(self) -> Iterator[dict[str, Any]]:
        """What `/v1/models` tells: names, aliases with what they stand for, and the upstreams' own."""
        seen = set()
        for name, route in self.named.items():
            seen.add(name)
            alias = {"alias_of": self.aliases[name]} if name in self.aliases else {}
            known = [one.backend.facts.context for one in route.targets]
            context = min((one for one in known if one is not None), default=None)
            yield _entry(name, "centime", context) | alias
        for one in self.backends:
            for name in self.own_models(one):
                if name not in seen:
                    seen.add(name)
                    yield _entry(name, one.facts.kind or one.name, one.facts.context)


def _entry(name: str, owner: str, context: int | None) -> dict[str, Any]:
    known = {} if context is None else {"max_model_len": context}
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, **known}
