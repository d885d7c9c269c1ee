"""Loading takes the memory of what is stored, quantising that of a matrix: neither ever makes the model plain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.model.tiny import build, tiny

import centime
from centime.model.quantised.quantise import Formats, quantise_folder

# 100 M numbers in a dense feed-forward's matrices of 8 MB each, in files of three or four
WIDE = tiny(hidden_size=256, intermediate_size=16384, num_hidden_layers=8, n_routed_experts=None)
PEAK = "int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) * 1024"
RUN = f"""
import sys
from pathlib import Path
import centime.model.checkpoint
from centime.model.quantised.quantise import Formats, quantise_folder
before = {PEAK}
if sys.argv[1] == "load":
    model = centime.model.checkpoint.load(sys.argv[2])
else:
    quantise_folder(Path(sys.argv[2]), Path(sys.argv[3]), Formats("int4"))
print({PEAK} - before)
"""


def grown(*words: str) -> int:
    """Bytes by which a process's peak of memory grew."""
    done = subprocess.run([sys.executable, "-c", RUN, *words], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_memory_of_loading_and_of_quantising(tmp_path: Path) -> None:
    centime.save(build(WIDE), tmp_path / "m", dtype=torch.bfloat16, shard_bytes=30_000_000)
    plain = sum(file.stat().st_size for file in (tmp_path / "m").glob("*.safetensors"))
    centime.save(build(tiny(hidden_size=64)), tmp_path / "small")  # what a process needs for any model
    least = grown("quantise", str(tmp_path / "small"), str(tmp_path / "small q"))
    assert grown("quantise", str(tmp_path / "m"), str(tmp_path / "q")) - least < 0.6 * plain
    quantise_folder(tmp_path / "m", tmp_path / "p", Formats("bf16"))
    least = grown("load", str(tmp_path / "small"))
    loaded, as_plain = (grown("load", str(tmp_path / name)) - least for name in ("q", "p"))
    stored = sum(file.stat().st_size for file in (tmp_path / "q").glob("*.safetensors"))
    assert stored < 0.3 * plain
    assert loaded < 2.5 * stored  # what is mapped of the file counts too, until that is closed
    assert as_plain > plain
