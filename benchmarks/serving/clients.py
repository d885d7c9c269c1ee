"""What clients see: a server's process from outside, 16 clients at once, and a system prompt that many share."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

CLIENTS, INPUT, OUTPUT = 16, 128, 48
SHARED = 1024  # tokens of the system prompt


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def _server(command: list[str], port: int, threads: int) -> Iterator[tuple[str, float]]:
    """(URL, seconds until it answered its health check) of a server's process, ended with the block."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CENTIME_HOME": home}
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                        break
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended with {process.returncode}")
                time.sleep(0.05)
            yield url, time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()


def _complete(url: str, prompt: list[int] | str, tokens: int) -> tuple[float, float]:
    """Streams one completion; seconds to the first piece and to the end."""
    body = {"model": "any", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    body |= {"ignore_eos": True}
    began, first = time.perf_counter(), 0.0
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=600) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("data:") and not first:
                first = time.perf_counter() - began
    return first, time.perf_counter() - began


def _clients(url: str) -> dict[str, float]:
    """16 at once, each with a prompt of its own."""
    draw = random.Random(0)
    prompts = [[draw.randrange(3, 500) for _ in range(INPUT)] for _ in range(CLIENTS)]
    found: list[tuple[float, float]] = []
    threads = [
        threading.Thread(target=lambda p=prompt: found.append(_complete(url, p, OUTPUT)))  # type: ignore[misc]
        for prompt in prompts
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return {
        "output_tokens_per_second": CLIENTS * OUTPUT / seconds,
        "ttft_seconds": statistics.median(first for first, _ in found),
    }


def _hit(url: str) -> dict[str, float]:
    """The first token behind a shared beginning: computed, and found."""
    draw = random.Random(1)
    misses, hits = [], []
    for _ in range(3):
        shared = [draw.randrange(3, 500) for _ in range(SHARED)]
        own = [[draw.randrange(3, 500) for _ in range(8)] for _ in range(3)]
        misses.append(_complete(url, shared + own[0], 2)[0])
        hits += [_complete(url, shared + other, 2)[0] for other in own[1:]]
    return {"miss_seconds": statistics.median(misses), "hit_seconds": statistics.median(hits)}


def measure_http(folder: Path, threads: int) -> dict[str, dict[str, Any]]:
    """centime's server, and llama-server where there is one on the PATH (or named by LLAMA_SERVER)."""
    found: dict[str, dict[str, Any]] = {}
    port = _free_port()
    command = [sys.executable, "-m", "centime", "serve", str(folder), "--port", str(port), "--name", "any"]
    with _server(command, port, threads) as (url, ready):
        _complete(url, [5, 6, 7], 4)
        found["centime"] = {"ready_seconds": ready} | _clients(url) | _hit(url)
    llama = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    file = folder / "model-bf16.gguf"
    if llama and file.exists():
        port = _free_port()
        command = [llama, "-m", str(file), "--port", str(port), "-t", str(threads), "-np", str(CLIENTS), "-c", "16384"]
        with _server(command, port, threads) as (url, ready):
            _complete(url, [5, 6, 7], 4)
            found["llama-server"] = {"ready_seconds": ready} | _clients(url)
    return found
