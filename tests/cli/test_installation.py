"""The command that adds what is missing is right for the copy that runs, however it was installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from centime.cli.program.verbs import VERBS
from centime.installation import CPU_INDEX, EXTRAS, Installation, missing

SOURCE = Path(__file__).resolve().parents[2] / "src"
ORIGINS = {
    "index": (None, "install 'centime[serve]'"),
    "folder": ({"url": "file:///a%20b/centime", "dir_info": {}}, "install '/a b/centime[serve]'"),
    "wheel": ({"url": "file:///w/centime-0.1.0-py3-none-any.whl", "archive_info": {}}, "any.whl[serve]'"),
    "repository": (
        {"url": "https://example.org/centime", "vcs_info": {"vcs": "git", "commit_id": "0"}},
        "install 'centime[serve] @ git+https://example.org/centime'",
    ),
    "source": ({"url": "file:///elsewhere", "dir_info": {"editable": True}}, f"install -e '{SOURCE.parent}[serve]'"),
}


def python(program: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (*folders, SOURCE)))
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


@pytest.mark.parametrize("kind", ORIGINS)
def test_the_command_names_what_pip_installed(tmp_path: Path, kind: str) -> None:
    origin, command = ORIGINS[kind]
    written = tmp_path / "centime-0.1.0.dist-info"
    written.mkdir()
    (written / "METADATA").write_text("Metadata-Version: 2.1\nName: centime\nVersion: 0.1.0\n")
    if origin is not None:
        (written / "direct_url.json").write_text(json.dumps(origin))
    done = python(
        "from centime.installation import installation as i; print(i().kind); print(i().command('serve'))", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == kind
    assert command in done.stdout


def test_what_a_build_leaves_beside_the_code_does_not_make_it_an_index(tmp_path: Path) -> None:
    (tmp_path / "src" / "centime").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "installation.py"):
        shutil.copy(SOURCE / "centime" / name, tmp_path / "src" / "centime")
    written = tmp_path / "src" / "centime.egg-info"
    written.mkdir()
    (written / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: centime\nVersion: 0.1.0\n")
    done = python("from centime.installation import installation as i; print(i().command('data'))", tmp_path / "src")
    assert f"install -e '{tmp_path}[data]'" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("verb", "extra"),
    [
        (["train", "recipe.toml"], "train"),
        (["generate", "model", "--prompt", "x"], "torch"),
        (["serve", "model", "--port", "0"], "serve"),
        (["quickstart"], "train"),
    ],
)
def test_without_torch_a_verb_says_how_to_add_it(tmp_path: Path, verb: list[str], extra: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    done = python(f"import sys; sys.argv[1:] = {verb!r}; from centime.cli import main; main()", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "needs torch" in done.stderr
    assert f"[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ("plan train", "centime"),
        ("plan serve --upstream x", "centime"),
        ("serve runs/x", "'centime[serve]'"),
        ("serve --upstream http://x", "'centime[gateway]'"),
        ("serve --upstream=http://x", "'centime[gateway]'"),
        ("serve runs/x --replicas 2", "'centime[replicas]'"),
        ("export runs/x --gguf y", "'centime[gguf]'"),
        ("export runs/x --hf y", "'centime[torch]'"),
        ("tokenizer train x", "'centime[data]'"),
    ],
)
def test_the_extra_is_the_one_of_what_was_asked(monkeypatch: pytest.MonkeyPatch, asked: str, command: str) -> None:
    monkeypatch.setattr("centime.installation.installation", lambda: Installation("index", "centime"))
    monkeypatch.setattr("centime.installation.has_torch", lambda: True)
    assert missing(asked.split()).endswith(f" install {command}")


def test_a_small_torch_is_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Installation("index", "centime")
    monkeypatch.setattr("centime.installation.has_torch", lambda: False)
    for driver, extra in ((False, "train"), (True, "train"), (False, "gateway"), (False, "data")):
        monkeypatch.setattr("centime.installation._has_nvidia_driver", lambda driver=driver: driver)
        assert here.command(extra).endswith(f" --extra-index-url {CPU_INDEX}") is (not driver and extra == "train")


def test_every_extra_has_verbs_and_a_row_in_the_documentation(root: Path) -> None:
    assert {use.split()[0] for uses in EXTRAS.values() for use in uses} <= VERBS.keys()
    known = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert known.keys() - {"dev", "peers"} == {*EXTRAS, "gpu"}
    rows = re.findall(r"^\| `(\w+)` \|", (root / "docs" / "doctor.md").read_text("utf-8"), re.MULTILINE)
    assert {*rows} == {*EXTRAS, "gpu"}


def test_a_library_that_does_not_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libgomp.so.1: no such file', name='torch')")
    done = python(
        "import sys; sys.argv[1:] = ['export', 'x', '--gguf', 'y']; from centime.cli import main; main()", tmp_path
    )
    assert done.returncode == 2
    assert "libgomp.so.1" in done.stderr
    assert "centime doctor" in done.stderr


def test_load_without_torch_says_what_adds_it(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = python("import centime\ntry: centime.load\nexcept ImportError as error: print(error)", tmp_path)
    assert "centime.load needs torch; add it with: " in done.stdout
    assert "[torch]'" in done.stdout
