"""Folders that `centime quantise` writes, decompressed by the library whose format it is."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.model.quantised.test_quantise import SHAPE
from tests.model.tiny import build

import centime
from centime.model.names import slots
from centime.model.quantised.quantise import Formats, quantise_folder

# Not importorskip: it takes seconds to import, which every worker would pay for collecting this file.
pytestmark = pytest.mark.skipif(find_spec("compressed_tensors") is None, reason="no compressed-tensors")


@pytest.mark.parametrize(
    "formats",
    [Formats("int8"), Formats("int4", head="int8"), Formats("fp8"), Formats("int8", experts="int4", attention="fp8")],
    ids=str,
)
def test_every_matrix_is_the_same(formats: Formats, tmp_path: Path) -> None:
    from compressed_tensors.entrypoints.convert.converters import CompressedTensorsDequantizer

    centime.save(build(SHAPE), tmp_path / "m")
    quantise_folder(tmp_path / "m", tmp_path / "q", formats)
    theirs = CompressedTensorsDequantizer(tmp_path / "q", dtype=torch.float32)
    tensors = theirs.validate(load_file(tmp_path / "q" / "model.safetensors"))
    ours = centime.load(tmp_path / "q", dtype=torch.float32, dense=True).state_dict()
    for slot in slots(SHAPE):
        mine = ours[slot.ours][slot.index]
        # float16, the type of scales, is what the library's own product is in
        assert torch.allclose(tensors[slot.disk].float(), mine, rtol=1e-3, atol=1e-6), slot.disk


def test_config_json_is_as_the_library_reads_it(tmp_path: Path) -> None:
    from compressed_tensors.quantization import QuantizationConfig

    centime.save(build(SHAPE), tmp_path / "m")
    quantise_folder(tmp_path / "m", tmp_path / "q", Formats("int4", attention="fp8"))
    raw = json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]
    read = QuantizationConfig.model_validate(raw)
    assert {scheme.weights.num_bits for scheme in read.config_groups.values()} == {4, 8}
    assert read.quantization_status == "compressed"
