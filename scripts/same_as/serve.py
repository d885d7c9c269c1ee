"""Answers of `centime serve --deterministic` over HTTP, as JSON on standard output: python serve.py MODEL."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request

ASKED = [
    ("/v1/completions", {"prompt": "The ", "max_tokens": 16, "temperature": 0}),
    ("/v1/completions", {"prompt": "The ", "max_tokens": 16, "temperature": 1, "seed": 5, "logprobs": 2}),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "What is a cat?"}], "max_tokens": 16, "seed": 1},
    ),
    ("/v1/messages", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12, "temperature": 0}),
]
NOISE = re.compile(r"^(id|created|cost|system_fingerprint|machine_.*|.*_seconds|.*_ms)$")


def quiet(tree: object) -> object:
    """Without ids, times and costs, which are of the moment."""
    if isinstance(tree, dict):
        return {key: quiet(value) for key, value in tree.items() if not NOISE.match(key)}
    return [quiet(value) for value in tree] if isinstance(tree, list) else tree


command = [sys.executable, "-m", "centime", "serve", sys.argv[1], "--port", "0", "--deterministic", "--price", "$1/h"]
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
    assert server.stdout is not None
    address = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.:]+\d", line)))
    answers = []
    for path, body in ASKED:
        request = urllib.request.Request(
            address + path, json.dumps({"model": "run", **body}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            answers.append(quiet(json.load(answer)))
    server.terminate()
print(json.dumps(answers))
