"""The set-up: a silent index costs seconds, a size is said only when known, a broken environment is mended."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from centime.installation import EXTRAS, WITHOUT_TORCH

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("centime_install", ROOT / "scripts" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Index(BaseHTTPRequestHandler):
    """A wheel index of one package of 1,234,567 bytes, and a wheel whose size it keeps to itself."""

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path in {"/torch/", "/sized.whl", "/unsized.whl"} else 404)
        if self.path == "/sized.whl":
            self.send_header("Content-Length", "1234567")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """No lines on the test's stderr."""


@pytest.fixture
def index() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A machine that accepts connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_an_index_that_answers_is_asked_first(
    installer: ModuleType, index: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_INDEX", index)
    assert installer.torch_index() == ["--extra-index-url", index]
    assert index in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["silent", "closed", "empty"])
def test_an_index_that_does_not_answer_costs_seconds(
    installer: ModuleType, kind: str, silent: str, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "PROBE_SECONDS", 1.0)
    url = {"silent": silent, "closed": "http://127.0.0.1:9", "empty": f"{index}/nothing-here"}[kind]
    monkeypatch.setenv("TORCH_INDEX", url)
    started = time.monotonic()
    assert installer.torch_index() == []
    assert time.monotonic() - started < 3


def test_an_empty_index_is_not_asked(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_INDEX", "")
    assert installer.torch_index() == []


def test_the_size_is_the_servers_or_unknown(installer: ModuleType, index: str, tmp_path: Path) -> None:
    assert installer.size_of(f"{index}/sized.whl") == 1_234_567
    assert installer.size_of(f"{index}/unsized.whl") is None
    assert installer.size_of(f"{index}/absent.whl") is None
    wheel = tmp_path / "on disk.whl"
    wheel.write_bytes(b"x" * 2_000_000)
    assert installer.size_of(wheel.as_uri()) == 2_000_000
    said = installer.describe([f"{index}/sized.whl", f"{index}/unsized.whl"], [wheel.as_uri()])
    assert said == "2 packages to download, 1 MB and 1 more whose size the index does not say; 1 from this disk, 2 MB"


def test_another_torch_frees_its_pin_and_triton_and_no_other(installer: ModuleType, tmp_path: Path) -> None:
    pinned = installer.write_constraints(tmp_path / "a", None).read_text().splitlines()
    freed = installer.write_constraints(tmp_path / "b", "2.15.0").read_text().splitlines()
    gone = set(pinned) - set(freed)
    assert {line.split("==")[0] for line in gone} == {"torch", "triton"}  # every torch wants a Triton of its own


def test_every_dependency_is_pinned() -> None:
    """Each requirement of pyproject.toml that CI installs has its line in constraints.txt."""
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    installed = [line for extra in extras.keys() - {"gpu"} for line in extras[extra]]
    wanted = [*project["dependencies"], *installed, "setuptools"]
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in wanted} - {"centime"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned == set()


def test_torch_comes_with_the_extras_that_compute(installer: ModuleType) -> None:
    with_torch = {extra for extra in (*EXTRAS, "gpu", "dev", "peers") if installer.brings_torch([extra])}
    assert with_torch == {*EXTRAS, "dev"} - WITHOUT_TORCH
    assert not installer.brings_torch([])
    assert installer.brings_torch(["gateway", "train"])


@pytest.mark.slow
def test_a_broken_environment_is_made_anew(installer: ModuleType, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python")
    assert installer.environment(venv) == python
    (venv / "kept").touch()
    assert installer.environment(venv) == python  # it has a pip that starts, and is left as it is
    assert (venv / "kept").exists()


def test_a_folder_that_is_no_environment_is_left_alone(installer: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(installer.SetupError, match="not a virtual environment"):
        installer.environment(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_old_python_is_told_so(installer: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(installer.SetupError, match=r"needs 3\.11"):
        installer.environment(tmp_path / "venv")
