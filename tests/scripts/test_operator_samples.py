"""Tables of measured operators as the fit of the serving planner reads them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from centime.plan.serving.speeds import constants, speeds

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def operators(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(root / "scripts"))
    yield importlib.import_module("operator_samples")
    sys.modules.pop("operator_samples")


def table(data: Path, name: str, rows: list[dict[str, object]]) -> None:
    path = data / f"h200_sxm/{name}/vllm/0.24.0/{name}_perf.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def product(m: int, n: int, kernel: str, milliseconds: float, dtype: str = "bfloat16") -> dict[str, object]:
    return {"gemm_dtype": dtype, "m": m, "n": n, "k": 8192, "kernel_source": kernel, "latency": milliseconds}


def test_of_each_shape_the_fastest_kernel_counts_if_it_takes_long_beside_a_launch(
    operators: ModuleType, tmp_path: Path
) -> None:
    table(
        tmp_path,
        "gemm",
        [
            product(64, 8192, "slow", 0.4),
            product(64, 8192, "fast", 0.05),
            product(1, 1024, "fast", 0.003),  # its launch is most of it
            product(64, 256, "fast", 0.05),  # narrower than any layer
            product(64, 8192, "DeepGemmFp8BlockScaledMMKernel", 0.16, "fp8_block"),
            product(64, 8192, "fast", 0.03, "int3"),
        ],
    )
    (found,) = operators.read_operator_samples(tmp_path)
    assert found.name == "gemm, bfloat16"
    assert found.actual == pytest.approx(-9.903, abs=0.001)  # ln of 50 us
    assert abs(found.predict(constants()) - found.actual) < 0.5, "134 MB at 4.8 TB/s are 28 us"
    assert found.group("model") == "operators"
    assert found.group("chip") == "H200 SXM 141GB"


def test_experts_are_those_of_one_chip_of_their_unit(operators: ModuleType, tmp_path: Path) -> None:
    row = {"moe_dtype": "bfloat16", "distribution": "balanced", "kernel_source": "fused", "hidden_size": 4096}
    row |= {"inter_size": 2048, "num_tokens": 256, "num_experts": 128, "topk": 8, "moe_tp_size": 1, "moe_ep_size": 1}
    uneven = {**row, "distribution": "power_law_1.2", "latency": 9.0}
    table(tmp_path, "moe", [{**row, "latency": 2.0}, {**row, "moe_ep_size": 4, "latency": 0.5}, uneven])
    whole, quarter = sorted(operators.read_operator_samples(tmp_path), key=lambda one: -one.actual)
    assert quarter.predict(constants()) - whole.predict(constants()) == pytest.approx(
        quarter.actual - whole.actual, abs=0.1
    )
    rates = speeds(whole.case.chips[0][0], whole.case.software)
    assert whole.seconds(rates) > 128 * 3 * 4096 * 2048 * 2 / 4.8e12, "all experts are read"
