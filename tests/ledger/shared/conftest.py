"""A PostgreSQL of the tests' own: Debian's, in a folder that goes with the session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


class Database:
    """A server that can be stopped and started, with one empty database for each test."""

    def __init__(self, folder: Path) -> None:
        assert BIN is not None
        self._folder = folder
        # PostgreSQL refuses to run as root; the account that Debian makes for it may own the folder instead
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        if self._user:
            shutil.chown(folder, "postgres")
            folder.chmod(0o700)
        self._run("initdb", "-D", str(folder / "data"), "-U", "centime", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        assert BIN is not None
        subprocess.run(
            [*self._user, str(BIN / program), *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def start(self) -> None:
        """Serve on the same port as before."""
        settings = (
            f"-p {self._port} -c fsync=off -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        )
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-o", settings, "-l", log, "-w", "start")

    def stop(self, how: str = "immediate") -> None:
        """As a power cut would (immediate), or once transactions have been undone (fast)."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", how, "-w", "stop")

    def url(self, name: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://centime@127.0.0.1:{self._port}/{name}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    if BIN is None or (os.geteuid() == 0 and shutil.which("runuser") is None):
        pytest.skip("no PostgreSQL here (Debian: postgresql)")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="centime-pg") as name:  # short: a socket's path has an end
        made = Database(Path(name))
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def shared(server: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Database:
    """An empty database that CENTIME_LEDGER names."""
    import psycopg

    name = f"t{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv("CENTIME_LEDGER", server.url(name))
    return server
