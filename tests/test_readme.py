"""Every command that the README shows runs, in the order shown, and both languages show the same ones.

The commands run with CENTIME_SMOKE=1 (the same path with few steps) in a copy of the checkout, by the environment that
runs the tests, where `centime` is forked from a process that has imported it. `make test` itself is excepted, and what
installs: tests/cli/test_light_install.py runs that elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.forked import FORKS, write_relay

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    *("Makefile", "MANIFEST.in", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
    *("scripts", "src", "recipes", "benchmarks"),
)
INSTALLS = {"pip install ."}
EXCEPTED = {"make test", *INSTALLS}


def commands(readme: str) -> list[str]:
    """The lines of the README's ```sh blocks, comments and continued lines resolved."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / readme).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"\s+#.*$", "", line).strip() for line in lines) if line]


def links(page: Path) -> list[str]:
    """The relative targets of a page's links, anchors cut off."""
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def test_both_languages_show_the_same_commands() -> None:
    assert commands("README.md") == commands("README.fr.md")


def test_the_two_commands_come_first() -> None:
    assert commands("README.md")[:2] == ["make quickstart", "make test"]


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_the_index_names_every_page() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages - set(links(ROOT / "docs" / "index.md")) == set()


def copy_of_the_checkout(folder: Path) -> Path:
    """A copy, in `folder`, of the checkout whose .venv is the environment that runs the tests, set up already."""
    copy = folder / "centime"
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif source.exists():
            shutil.copy2(source, copy / name)
    venv = copy / ".venv"  # a folder of our own: its stamps may be touched, the environment itself is shared
    venv.mkdir()
    for part in ("lib", "pyvenv.cfg"):
        (venv / part).symlink_to(Path(sys.prefix) / part)
    (venv / "bin").mkdir()
    for program in (Path(sys.prefix) / "bin").iterdir():
        (venv / "bin" / program.name).symlink_to(program)
    for stamp in (".installed", ".installed-dev", ".installed-serve"):
        (venv / stamp).touch()
    return copy


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path: Path, centime_home: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path)
    if FORKS:
        (checkout / ".venv" / "bin" / "centime").unlink()
        write_relay(checkout / ".venv" / "bin" / "centime")
    path = f"{checkout / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"CENTIME_SMOKE": "1", "PATH": path, "CENTIME_HOME": str(centime_home)}
    environment.pop("MAKEFLAGS", None)  # that of the make which runs the tests
    ran = 0
    for command in commands("README.md"):
        if command in EXCEPTED:
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        said = done.stdout.strip() or done.stderr.strip()  # what a long run tells goes to standard error
        assert said or command.startswith(". "), f"{command} printed nothing"
        ran += 1
    assert ran >= 5
