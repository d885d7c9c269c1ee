"""Processes of a benchmark of the gateway: centime's own, on free ports, waited for until they answer."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time

import httpx2


def centime(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A verb, run to its end."""
    command = [sys.executable, "-m", "centime", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def started(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """A verb that goes on."""
    command = [sys.executable, "-m", "centime", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, text=True)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(url: str) -> None:
    """Returns once the address answers 200. Raises SystemExit after two minutes."""
    for _ in range(1200):
        try:
            if httpx2.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{re.sub('/[^/]*$', '', url)} does not answer.")
