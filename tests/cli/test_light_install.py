"""What a person gets who installs centime without torch: from the folder by the README's line, and from the wheel.

The environments are clean, and offline: pip finds in them the packages of the environment that runs the tests, those
that the installation asks for and no other. An extra that asked for more, torch above all, would not install.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement
from tests.serve.gateway.running import Scripted, answer, serving
from tests.serve.process import ServerProcess
from tests.test_readme import INSTALLS, ROOT, commands, copy_of_the_checkout

pytestmark = pytest.mark.slow

LIGHT = 160e6  # bytes of what `pip install .` brings, itself included
BUILD = ("pip", "setuptools")  # what builds the package from its folder
WORK = (
    "plan train --model deepseek-v3 --tokens 14.8T --gpu h800 --gpus 2048 --price '$2/h'",
    "plan serve --model deepseek-v3 --gpu h800 --demand 608B-in/day,168B-out/day,hit=0.563 --price '$2/h'",
    "plan explain v3-h800 v3-h20",
    "plan lifetime --quality-of deepseek-v3 --served-tokens 100T --flops",
    "plan compare --models deepseek-v2-lite --chips h800,h20 --gpus 8 --tokens 1T",
    "plan fleet --scenario deepseek-day6 --years 1",
    "plan breakeven --model llama-3.1-8b --gpu h100 --api deepseek-v3.2",
    "plan frontier --model llama-3.1-8b --chips h200,b200",
    "plan budget --capex '80B$' --gpu gb200",
    "keys add alice --budget '$5'",
    "bill",
    "model show deepseek-v3",
    "model list",
    "catalogue price deepseek-flash --at 2026-10-01T02:00Z",
)
NEEDS_MORE = {
    "train recipe.toml": "train",
    "generate runs/x --prompt x": "torch",
    "calibrate": "torch",
    "export runs/x --gguf x.gguf": "gguf",
    "data prepare README.md --tokenizer tok --out data": "data",
    "serve runs/x": "serve",
    "serve --upstream http://127.0.0.1:9": "gateway",
}

# `centime LINE` for each line of a JSON list, every one a fork of this process, which has imported what it could;
# prints the exit code, the output and the errors of each as JSON.
EACH = """
import contextlib, importlib, json, os, pkgutil, shlex, sys
import centime.cli
for module in pkgutil.walk_packages(centime.__path__, "centime."):
    if not module.name.endswith("__main__"):
        with contextlib.suppress(Exception):
            importlib.import_module(module.name)
said = []
for line in json.loads(sys.argv[1]):
    if (pid := os.fork()) == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        sys.argv = ["centime", *shlex.split(line)]
        centime.cli.main()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said.append((code, open("out").read(), open("err").read()))
print(json.dumps(said))
"""


def asked_for(*extras: str) -> set[str]:
    """The packages that centime and these extras need here, by the names of their metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found: set[str] = set()
    waiting, seen = [Requirement(line) for line in lines], set()
    while waiting:
        one = waiting.pop()
        if str(one) in seen:
            continue
        seen.add(str(one))
        try:
            here = distribution(one.name)
        except PackageNotFoundError:  # optional to another, and not here
            continue
        found.add(here.metadata["Name"])
        further = map(Requirement, here.requires or [])
        names = {"", *one.extras}
        waiting += [r for r in further if not r.marker or any(r.marker.evaluate({"extra": name}) for name in names)]
    return found


def environment(folder: Path, packages: Iterable[str]) -> Path:
    """A new virtual environment with the packages linked in; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in packages:
        for top in {file.parts[0] for file in distribution(package).files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution(package).locate_file(top))
    return folder / "bin"


def run(programs: Path, line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in `folder`, with the environment's programs first in its path; pip knows no index."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH"))}
    kept |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    return subprocess.run(
        ["bash", "-c", f'pip() {{ python -m pip "$@"; }}; {line}'],
        cwd=folder,
        env=kept | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_checkout(tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """What `make dist` makes, checked."""
    done = run(checkout / ".venv" / "bin", "make dist", checkout, MAKEFLAGS="")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("PASSED") == 2, done.stdout[-2000:]
    (made,) = (checkout / "dist").glob("*.whl")
    return made


def test_what_is_published_is_the_package_and_no_more(checkout: Path, wheel: Path) -> None:
    ours = {path.relative_to(checkout / "src").as_posix() for path in (checkout / "src" / "centime").rglob("*.*")}
    ours = {path for path in ours if "__pycache__" not in path}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == ours
    (source,) = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {name.partition("/")[0] for name in names} - {""} == {
        *("LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "src")
    }


def test_the_line_of_the_readme_installs_a_planner(checkout: Path, tmp_path: Path) -> None:
    (line,) = [command for command in commands("README.md") if command in INSTALLS]
    packages = asked_for()
    programs = environment(tmp_path / "venv", [*packages, *BUILD])
    done = run(programs, line, checkout, PIP_NO_BUILD_ISOLATION="0")
    assert done.returncode == 0, done.stderr[-2000:]
    files = [file for package in packages for file in distribution(package).files or []]
    ours = (path for path in (checkout / "src" / "centime").rglob("*") if path.is_file())
    assert sum(Path(str(file.locate())).stat().st_size for file in files) + sum(p.stat().st_size for p in ours) < LIGHT
    lines = json.dumps([*WORK, *NEEDS_MORE])
    done = run(programs, f"python -c {shlex.quote(EACH)} {shlex.quote(lines)}", tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for words, (code, out, errors) in zip(WORK, said, strict=False):
        assert (code, bool(out)) == (0, True), f"{words}\n{errors}"
    for extra, (code, out, errors) in zip(NEEDS_MORE.values(), said[len(WORK) :], strict=True):
        assert (code, out, len(errors.splitlines())) == (2, "", 1), errors
        assert f"{programs / 'python'} -m pip install {shlex.quote(f'{checkout}[{extra}]')}" in errors
    told = json.loads(run(programs, "centime doctor --json", tmp_path).stdout)
    assert told["ok"], told
    checks = {check["check"]: check for check in told["checks"]}
    assert checks["centime"]["values"]["kind"] == "folder"
    assert checks["[train]"]["state"] == "absent"
    assert "torch" in checks["[train]"]["values"]["absent"]
    assert f"{checkout}[train]" in checks["[train]"]["todo"]
    assert "torch" not in checks


def test_the_wheel_with_its_extra_is_a_gateway(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = environment(tmp_path / "venv", [*asked_for("gateway"), "pip"])
    done = run(programs, f"pip install '{wheel}[gateway]'", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert run(programs, "python -c 'import torch'", tmp_path).returncode == 1
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with (
        serving(Scripted(lambda _: answer("Hello", 100, 2, 60)).app) as upstream,
        ServerProcess("--upstream", upstream, "--price-list", "1,2,3", program=programs / "centime") as gateway,
    ):
        asked = {"model": "org/m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
        with httpx2.Client(base_url=gateway.url, timeout=60) as client:
            told = client.post("/v1/chat/completions", json=asked).json()
            assert (told["choices"][0]["message"]["content"], told["usage"]["cost"]["list_price"]) == (
                "Hello",
                "0.000146",
            )
            for page in ("/", "/docs", "/metrics", "/health", "/v1/models", "/page/bill"):
                assert client.get(page).status_code == 200, page
            question = {"model": "deepseek-v3", "tokens": "14.8T", "gpu": "h800", "gpus": "2048"}
            plan = client.post("/page/plan", json={"verb": "train", "fields": question})
            assert plan.status_code == 200, plan.text
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.end() == 0, gateway.said
    assert json.loads(run(programs, "centime bill --json", tmp_path).stdout)["serving"]["total"]["requests"] == 1
    checks = {c["check"]: c for c in json.loads(run(programs, "centime doctor --json", tmp_path).stdout)["checks"]}
    assert (checks["centime"]["values"]["kind"], checks["[gateway]"]["state"]) == ("wheel", "ok")
    assert f"{wheel}[serve]" in checks["[serve]"]["todo"]
