"""One sandbox and one zygote for all tests of this folder that run commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.cells import Bench
from tests.cli.kinds import Kinds
from tests.cli.process import Zygote
from tests.cli.sandbox import build
from tests.ledger.engines.pages import shown
from tests.ledger.engines.test_metering import Working


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("zygote")) as running:
        yield running


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, root: Path, zygote: Zygote) -> Iterator[Bench]:
    sandbox = tmp_path_factory.mktemp("bench") / "sandbox"
    build(sandbox, zygote, root / "src" / "centime" / "catalogue" / "scenarios" / "startup.toml")
    with shown(Working().page) as engine:
        yield Bench(sandbox, zygote, engine)


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory, bench: Bench) -> Kinds:
    return Kinds(tmp_path_factory.mktemp("kinds") / "made", bench.sandbox, bench.zygote.disks)
