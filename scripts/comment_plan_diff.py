"""What a pull request's change costs, as a comment on it: the step of action.yml that does the work.

Reads what GitHub Actions sets (GITHUB_EVENT_PATH, GITHUB_REPOSITORY, GITHUB_API_URL, GITHUB_STEP_SUMMARY), GITHUB_TOKEN
and CENTIME_FILES, one path a line, CENTIME_LIMIT, CENTIME_OPTIONS, CENTIME_COMMENT. Exits with 1 past the limit, 2
where something cannot be compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "<!-- centime plan diff -->"  # by which a later run finds its comment
PAGES = 30  # of a hundred comments each, in which it is looked for


def main() -> int:
    """The exit code."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    request = event.get("pull_request")
    if request is None:
        print("This event is no pull request: there is nothing to compare with.", file=sys.stderr)
        return 2
    files = [line.strip() for line in os.environ.get("CENTIME_FILES", "").splitlines() if line.strip()]
    if not files:
        print("`files` is empty; name what is to be compared, one path a line.", file=sys.stderr)
        return 2
    with base_tree(request["base"]["sha"]) as base:
        results = [compared(base, file) for file in files]
    text = "\n\n".join([MARK, *(told for _, told in results)])
    print(text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    if os.environ.get("CENTIME_COMMENT", "true").lower() == "true":
        comment(request["number"], text)
    return max(code for code, _ in results)


@contextlib.contextmanager
def base_tree(commit: str) -> Iterator[Path]:
    """The tree that the pull request is held against, as a folder: what a recipe names beside itself is there too."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "base")
        known = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False)
        if known.returncode:  # a checkout of one commit, as actions/checkout makes it
            subprocess.run(["git", "fetch", "--quiet", "--depth=1", "origin", commit], check=True)
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], check=False)


def compared(base: Path, file: str) -> tuple[int, str]:
    """(exit code, Markdown) of one file."""
    title = f"## What `{file}` costs"
    before, after = base / file, Path(file)
    if not before.exists() or not after.exists():
        if not before.exists() and not after.exists():
            return 2, f"{title}\n\nThere is no such file, neither here nor in the base."
        return 0, f"{title}\n\n{'It is new' if after.exists() else 'It is gone'}: there is nothing to compare it with."
    limit = os.environ.get("CENTIME_LIMIT", "")
    words = [*shlex.split(os.environ.get("CENTIME_OPTIONS", "")), *(["--fail-over", limit] if limit else [])]
    command = [sys.executable, "-m", "centime", "plan", "diff", str(before), str(after), "--markdown", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout.strip() or f"```\n{done.stderr.strip()}\n```"
    where = "".join(rf"\\?{re.escape(letter)}" for letter in f"{base}/")  # Markdown may have a backslash before each
    return done.returncode, f"{title}\n\n{re.sub(where, 'base:', told)}"


def comment(number: int, text: str) -> None:
    """The one comment of this action on a pull request, made or changed."""
    url = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    for page in range(1, PAGES + 1):
        found = ask("GET", f"{url}/{number}/comments?per_page=100&page={page}")
        for one in found:
            if str(one["body"]).startswith(MARK):
                ask("PATCH", f"{url}/comments/{one['id']}", {"body": text})
                return
        if len(found) < 100:
            break
    ask("POST", f"{url}/{number}/comments", {"body": text})


def ask(method: str, url: str, body: dict[str, str] | None = None) -> Any:
    """GitHub's answer."""
    headers = {
        "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json",
        "Content-Type": "application/json", "User-Agent": "centime",
    }  # fmt: skip
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, content, headers, method=method), timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
