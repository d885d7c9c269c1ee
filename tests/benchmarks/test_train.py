"""The training benchmark: everyone does the same work on the same weights, and the harness reports what it measured."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from centime.catalogue.model_config import ModelConfig
from centime.plan.counts import count


@pytest.mark.parametrize(("sequence", "mflop"), [(256, 51.4), (1024, 60.2)])
def test_flops_are_those_of_the_planner_and_of_the_published_bar(sequence: int, mflop: float) -> None:
    from shapes import SHAPE, active_matmul_params, flops_per_token

    counts = count(ModelConfig.model_validate(SHAPE), sequence)
    assert active_matmul_params() == counts.active_matmul_params
    assert flops_per_token(sequence) == counts.train_flops_per_token
    assert flops_per_token(sequence) / 1e6 == pytest.approx(mflop, abs=0.05)


def test_every_length_trains_on_as_many_tokens_and_batches_repeat() -> None:
    from shapes import BATCH, batches

    assert {sequence * batch for sequence, batch in BATCH.items()} == {2048}
    first, again = batches(16, 2), batches(16, 2)
    for _ in range(3):
        (inputs, targets), (same, _) = next(first), next(again)
        assert inputs.equal(same)
        assert inputs[:, 1:].equal(targets[:, :-1])
    assert not next(first)[0].equal(inputs)


def test_initial_weights_are_a_whole_model_in_centime(tmp_path: Path) -> None:
    import centime
    from initial import write
    from shapes import INITIALIZER_RANGE

    model = centime.load(write(tmp_path / "initial"))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert parameter.eq(1).all(), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(INITIALIZER_RANGE, rel=0.05), name


def test_rounds_are_compared_pairwise() -> None:
    from train import Contestant, ratios

    ours, theirs = (Contestant(name, Path(), 256, 1) for name in ("centime", "peer"))
    ours.rounds, theirs.rounds = [[1.0, 1.0, 9.0], [2.0]], [[2.0, 2.0, 2.0], [5.0]]
    assert ratios(ours, theirs) == [2.0, 2.5]


def test_an_absent_peer_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import train

    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    names, absent = train.available(["torchtitan"])
    assert names == ["centime"]
    assert absent["torchtitan"].startswith("pip install ")


def test_an_unknown_peer_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import train

    monkeypatch.setattr(sys, "argv", ["train.py", "--peers", "nobody"])
    with pytest.raises(SystemExit) as left:
        train.main()
    assert left.value.code == 2
    assert "'nobody'" in capsys.readouterr().err


@pytest.mark.long
def test_ours_beside_transformers_with_the_same_losses(root: Path) -> None:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    quick = ("--rounds", "1", "--steps", "2", "--warm-up", "0", "--threads", "1")
    done = _bench(root, "--sequence", "256", "--peers", "transformers", *quick, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    (result,) = json.loads(done.stdout)["results"]
    assert list(result["contestants"]) == ["centime", "transformers"]
    for name, found in result["contestants"].items():
        assert found["furthest_from_reference"] < 0.01, name
        assert found["losses"][-1] < found["losses"][0]
        assert found["peak_bytes"] > 100e6
        assert found["ready_seconds"] > 0
        assert 0 < found["share_of_gemm_peak"] < 1


def _bench(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "benchmarks" / "train.py"), *options]
    environment = os.environ | {"CENTIME_SMOKE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
