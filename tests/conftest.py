"""What every test gets: one thread, no network, a book of its own, and the shared data where there is any."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tests import forked

pytest_plugins = ["tests.browser"]

# No test fails for the time that it takes: machines are shared.
settings.register_profile("centime", deadline=None)
settings.load_profile("centime")

ROOT = Path(__file__).resolve().parents[1]

# Set before torch or a tokenizer is imported, and inherited by every command that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as centime.cli sets it, which says why
os.environ["HF_HUB_OFFLINE"] = "1"
if shutil.which("nvidia-smi") is None:  # Triton reads it as it is imported
    os.environ["TRITON_INTERPRET"] = "1"
# Nobody here speaks TLS, and every client would read a hundred certificates first, for 50 milliseconds.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("certificate.pem"))
# Ledgers, checkpoints and budgets wait for the disk at every step, milliseconds each time: a folder in memory does not.
MEMORY, ENOUGH = "/dev/shm", 6 << 30
if (
    os.access(MEMORY, os.W_OK)
    and shutil.disk_usage(MEMORY).free > ENOUGH
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # kernels are built and loaded there
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)
# A shell that starts the suite in the background has Ctrl-C ignored, for it and for every command a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_configure_node(node: Any) -> None:
    """One process that has centime imported forks the commands of all workers."""
    node.workerinput["zygote"] = forked.zygote() if forked.FORKS else None


def pytest_configure(config: pytest.Config) -> None:
    if (address := getattr(config, "workerinput", {}).get("zygote")) is not None:
        forked.share(address)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their length: packed ones may hold the time, and workers must agree on every test's name."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{argname} of {len(val)} bytes"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The README's commands take a minute in one test: first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.name != "test_every_command_of_the_readme_runs")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)  # of 700: a seventh of what plans and drawn tests took was the collector's


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data (tokenizers, prices, texts) that some tests compare with: $CENTIME_SHARED or ../shared.

    A checkout without it skips those tests and says so.
    """
    folder = Path(os.environ.get("CENTIME_SHARED") or ROOT.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data: neither $CENTIME_SHARED nor {ROOT.parent / 'shared'} has a data folder")
    return folder


@pytest.fixture(autouse=True)
def centime_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger and a cache of this test's own, so that no test reads or writes the person's."""
    home = tmp_path_factory.mktemp("centime-home")
    monkeypatch.setenv("CENTIME_HOME", str(home))
    return home
