"""The file of `centime serve --upstreams gateway.toml`: which servers there are, and what their models are called."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from centime.addresses import shown_address
from centime.catalogue.tariffs import Tariff, tariff_for
from centime.errors import UserError, nearest
from centime.input_files import parse_toml, read_text
from centime.typed_trees import explain

MOST_WEIGHT = 10**6
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Priced(_Section):
    price_list: str | None = Field(None, description="what keys without prices of their own pay: as --price-list")
    peak_hours: str | None = Field(None, description="of that list: as --peak-hours")

    def tariff(self) -> Tariff | None:
        """The list, None without one. Raises UserError for what is none."""
        if self.price_list is None:
            if self.peak_hours is not None:
                raise UserError("peak_hours go with a price_list.")
            return None
        return tariff_for(self.price_list, hours=self.peak_hours)


class UpstreamSection(_Priced):
    """One server. Its time is on the bill under its name where it has a price or a device."""

    name: str = Field(pattern=NAME, description="a word of letters, digits and . _ -, on the bill too")
    url: str = Field(description="where it is, such as http://gpu1:8000")
    key_env: str | None = Field(None, description="the environment variable that holds its key")
    key_file: str | None = Field(None, description="the file that holds its key, read again at each reload")
    price: str | None = Field(None, description="of an hour of one device: as --price")
    device: str | None = Field(None, description="what it runs on: as --upstream-device")
    devices: int = Field(1, ge=1, le=10**6, description="how many of them")
    models: list[ModelName] | None = Field(
        None, description="which of its models are offered under their own names; without: all that it lists"
    )
    connect_s: Seconds = Field(10.0, description="seconds to a connection")
    first_token_s: Seconds | None = Field(None, description="seconds to the first token of a stream; without: no end")
    silence_s: Seconds | None = Field(
        None, description="seconds between two pieces, of an answer that is no stream to its head; without: no end"
    )

    def key(self, folder: Path) -> str | None:
        """What it asks of us, if anything. folder: the file's own, from which `key_file` is found."""
        if self.key_env is not None:
            found = os.environ.get(self.key_env, "").strip()
            if not found:
                raise UserError(f"its key is to be in the environment variable {self.key_env}, which is empty.")
        elif self.key_file is not None:
            found = read_text(folder / self.key_file, "a file with an upstream's key").strip()
        else:
            return None
        if not (found.isascii() and found.isprintable() and " " not in found):
            raise UserError("its key is no word of printable ASCII; a header cannot carry it.")
        return found


class RouteSection(_Section):
    """One way to a model."""

    upstream: str = Field(description="the name of an [[upstream]]")
    model: ModelName | None = Field(None, description="what that upstream calls it; without: as here")
    weight: Annotated[float, Field(gt=0, le=MOST_WEIGHT, allow_inf_nan=False)] = Field(
        1.0, description="its share of the requests"
    )
    fallback: bool = Field(False, description="asked only when no other route answers")


class ModelSection(_Priced):
    """A name that clients ask for, and where its requests go."""

    name: ModelName = Field(description="what clients call it")
    aliases: list[ModelName] = Field([], description="other names of it")
    route: list[RouteSection] = Field(min_length=1, description="where its requests go: [[model.route]]")


class GatewaySection(_Section):
    """What holds for all of it."""

    attempts: int = Field(3, ge=1, le=20, description="times that a request is sent at most, before its first token")
    balance: Literal["weights", "sticky"] = Field(
        "weights", description="sticky: a conversation keeps its upstream, whose cache then holds its beginning"
    )
    prefixes: list[str] = Field([], description="vendors left out of a name that is unknown with them, such as openai")
    default: str | None = Field(None, description="the upstream that gets what no model here is called")
    check_s: Seconds = Field(10.0, description="seconds between two looks at every upstream, and at this file")


class GatewayFile(_Section):
    """The whole file."""

    gateway: GatewaySection = GatewaySection()
    upstream: list[UpstreamSection] = Field(min_length=1, description="the servers: [[upstream]]")
    model: list[ModelSection] = Field([], description="the names that clients ask for: [[model]]")

    def tariffs(self) -> dict[str, Tariff]:
        """The prices that it gives, by the name of the model or of the upstream. Raises UserError for what are none."""
        given = [(one.name, one.tariff()) for one in self.upstream] + [(one.name, one.tariff()) for one in self.model]
        return {name: tariff for name, tariff in given if tariff is not None}


def read_gateway_file(path: Path) -> GatewayFile:
    """The file at `path`. Raises UserError: a sentence for each thing that is wrong, with its key."""
    tree = parse_toml(read_text(path, "a gateway's upstreams (.toml)"), str(path))
    try:
        found = GatewayFile.model_validate(tree, strict=True)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, GatewayFile, 'a gateway')}") from None
    if faults := list(_contradictions(found, path.parent)):
        raise UserError(f"{path}: {' '.join(faults)}")
    return found


def _contradictions(found: GatewayFile, folder: Path) -> Iterator[str]:
    upstreams = {one.name for one in found.upstream}
    for name in _twice(one.name for one in found.upstream):
        yield f"Two upstreams are called {name!r}; give each its own name."
    for name in _twice(name for one in found.model for name in (one.name, *one.aliases)):
        yield f"Two models, or aliases, are called {name!r}: a request could not tell them apart."
    if found.gateway.default is not None and found.gateway.default not in upstreams:
        yield f"gateway.default is {found.gateway.default!r}, which no [[upstream]] is called."
    for one in found.upstream:
        try:
            scheme = httpx2.URL(one.url).scheme
        except httpx2.InvalidURL:
            scheme = ""
        if scheme not in {"http", "https"}:
            yield f"The url of upstream {one.name!r} is {shown_address(one.url)!r}; give one such as http://127.0.0.1:8001."
        if one.key_env is not None and one.key_file is not None:
            yield f"Upstream {one.name!r} has key_env and key_file; give one of them."
        yield from _said(f"Upstream {one.name!r}", one.tariff)
        yield from _said(f"Upstream {one.name!r}", functools.partial(one.key, folder))
    for model in found.model:
        yield from _said(f"Model {model.name!r}", model.tariff)
        for route in model.route:
            if route.upstream not in upstreams:
                hint = nearest(route.upstream, upstreams)
                yield f"Model {model.name!r} goes to {route.upstream!r}, which no [[upstream]] is called.{hint}"


def _said(whose: str, asked: Callable[[], object]) -> Iterator[str]:
    try:
        asked()
    except UserError as error:
        yield f"{whose}: {error}"


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]
