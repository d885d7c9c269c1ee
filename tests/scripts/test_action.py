"""The steps of action.yml, run as GitHub's runner would: a pull request in a clone of one commit, and its comments."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "recipes" / "tiny.toml").read_text(encoding="utf-8")


class GitHub(http.server.ThreadingHTTPServer):
    """Its comments of issues, as far as the action asks for them."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = [{"id": 1, "body": "Looks good to me."}]
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Comments)
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()


class _Comments(http.server.BaseHTTPRequestHandler):
    server: GitHub

    def do_GET(self) -> None:
        self._answer(200, self.server.comments)

    def do_POST(self) -> None:
        self.server.comments.append({"id": len(self.server.comments) + 1, **self._body()})
        self._answer(201, self.server.comments[-1])

    def do_PATCH(self) -> None:
        found = next(one for one in self.server.comments if self.path.endswith(f"/comments/{one['id']}"))
        found.update(self._body())
        self._answer(200, found)

    def _body(self) -> Any:
        assert self.headers["Authorization"] == "Bearer the-token"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: Any) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    yield server
    server.shutdown()
    server.server_close()


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def pull(tmp_path: Path) -> tuple[Path, str]:
    """(a shallow checkout of the pull request, the commit of its base)."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    (origin / "recipe.toml").write_text(RECIPE)
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "base")
    base = git(origin, "rev-parse", "HEAD")
    tokens = re.sub(r"(?m)^tokens = .*$", 'tokens = "40M"', RECIPE)
    assert tokens != RECIPE
    (origin / "recipe.toml").write_text(tokens)
    (origin / "new.toml").write_text(tokens)
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "change")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{origin}", "checkout")
    return tmp_path / "checkout", base


def filled(text: str, words: dict[str, str]) -> str:
    """With the runner's expressions replaced."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: words[found[1]], text)


def run_action(checkout: Path, base: str, github: GitHub, **given: str) -> tuple[int, str]:
    """(exit code, summary) of its steps but those that install: the first that fails is the last."""
    inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()} | given
    inputs["token"] = "the-token"
    event, summary = checkout.parent / "event.json", checkout.parent / "summary.md"
    temporary = checkout.parent / "of_a *runner*"  # letters that mean something in Markdown
    temporary.mkdir(exist_ok=True)
    summary.write_text("")
    event.write_text(json.dumps({"pull_request": {"number": 7, "base": {"sha": base}}}))
    host, port = github.server_address[:2]
    environment = os.environ | {
        "TMPDIR": str(temporary),
        "GITHUB_EVENT_PATH": str(event), "GITHUB_REPOSITORY": "acme/models", "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_API_URL": f"http://{host!s}:{port}", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    words = {"github.action_path": str(ROOT), **{f"inputs.{name}": value for name, value in inputs.items()}}
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or "pip install" in step["run"]:
            continue
        own = {name: filled(value, words) for name, value in step["env"].items()}
        bash = [shutil.which(step["shell"]) or "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(bash, cwd=checkout, env=environment | own, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.returncode, summary.read_text() + done.stderr
    return 0, summary.read_text()


def test_a_change_is_commented_on_once_and_fails_past_the_limit(pull: tuple[Path, str], github: GitHub) -> None:
    checkout, base = pull
    options = {"files": "recipe.toml\nnew.toml\n", "options": "--gpu h800 --gpus 8 --price '$2/h'"}
    code, summary = run_action(checkout, base, github, **options, limit="5%")
    assert code == 1, summary
    assert len(github.comments) == 2
    said = github.comments[1]["body"]
    assert said.strip() == summary.strip()
    for words in ("What `recipe.toml` costs", "past the limit of +5 %", "It is new: there is nothing to compare"):
        assert words in said
    assert "runner" not in said
    assert "base:recipe.toml" in said
    code, summary = run_action(checkout, base, github, files="new.toml", limit="5%")  # at a later push
    assert code == 0, summary
    assert len(github.comments) == 2
    assert github.comments[1]["body"].strip() == summary.strip()
    assert "past the limit" not in summary
    assert git(checkout, "worktree", "list").count("\n") == 0


def test_what_cannot_be_compared_is_said(pull: tuple[Path, str], github: GitHub) -> None:
    checkout, base = pull
    (checkout / "recipe.toml").write_text("nonsense = ")
    code, summary = run_action(checkout, base, github, files="recipe.toml\nnone.toml", comment="false")
    assert code == 2
    assert "recipe.toml" in summary
    assert "There is no such file, neither here nor in the base." in summary
    assert not github.asked
    assert run_action(checkout, base, github, files=" ")[0] == 2


def test_every_input_reaches_a_step() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert used == set(ACTION["inputs"])
