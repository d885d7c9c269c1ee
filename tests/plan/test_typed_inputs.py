"""The inputs of every verb's card, each key spoilt in turn: a plan or a sentence, and never anything else."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.damages import by_key
from typer.testing import CliRunner

from centime.cli import app
from centime.errors import UserError
from centime.plan.card import read_card
from centime.plan.rerun import rerun
from centime.plan.serving.request import Demand
from centime.plan.typed_inputs import typed

ASKED = {
    "train": [
        "--model=centime-d2",
        "--tokens=1B",
        "--gpu=h800",
        "--gpus=8",
        "--rl=steps=10,rollouts=8,prompt=9,answer=9",
    ],
    "serve": ["--model=centime-d2", "--gpu=h800", "--demand=1B-in/day,1B-out/day,hit=0.5", "--isl=100"],
    "lifetime": ["--quality-of=deepseek-v2-lite", "--served-tokens=1T", "--quality-tokens=5.7T", "--flops", "--dense"],
    "compare": ["--models=centime-d2", "--chips=h800,h100", "--gpus=8", "--tokens=1B"],
    "budget": ["--capex=2M$"],
    "fleet": ["--scenario=startup", "--draws=3", "--years=0.5"],
    "explain": ["v3-h800", "v3-h20"],
}
DRAWN = 25  # of each verb


@pytest.fixture(scope="module", params=ASKED)
def card(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cards") / "card.json"
    done = CliRunner().invoke(app, ["plan", request.param, *ASKED[request.param], "--card", str(path)])
    assert done.exit_code == 0, done.output
    return path


def spoilt(card: Path, count: int | None) -> list[tuple[str, bytes]]:
    """(what was spoilt, the card), `count` of them drawn."""
    spoil = by_key(card.name)
    assert spoil is not None
    found = [pair for pair in spoil(card.read_bytes()) if not pair[0].startswith("sha256.")]
    return found if count is None else random.Random(card.read_text()[:200]).sample(found, count)


def wrong(card: Path, count: int | None) -> list[str]:
    """What came of each that is neither a plan nor a sentence."""
    found = []
    for name, content in spoilt(card, count):
        damaged = card.with_name("damaged.json")
        damaged.write_bytes(content)
        try:
            json.dumps(rerun(read_card(damaged)).to_json(), allow_nan=False)
        except UserError:
            pass
        except Exception as error:
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found


@pytest.mark.slow
def test_drawn_damages(card: Path) -> None:
    assert wrong(card, DRAWN) == []


@pytest.mark.long
def test_every_damage(card: Path) -> None:
    assert wrong(card, None) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("isl", "x", 'inputs of serve: isl is "x"; input should be a valid number.'),
        ("mtp", True, "inputs of serve: mtp is true"),
        ("gpus", 1.5, "inputs of serve: gpus is 1.5"),
        ("tpot", 1, "inputs of serve: 'tpot' is unknown. Did you mean 'tpot_s'?"),
        ("demand", {"input_per_day": 1.0}, "inputs of serve: demand.output_per_day; field required."),
    ],
)
def test_the_key_is_named(key: str, value: Any, said: str) -> None:
    inputs = {"model": "centime-d2", "gpu": "h800", "gpus": 1, "isl": 100.0, "osl": 10.0, key: value}
    card = {"card": 1, "verb": "serve", "inputs": inputs, "figures": {}, "sha256": {}, "centime": "0"}
    with pytest.raises(UserError) as refused:
        rerun(card)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("of", "values", "made"),
    [
        (Demand, {"input_per_day": 1, "output_per_day": 2.0}, Demand(1.0, 2.0)),
        (Demand, [1.0, 2.0], "inputs of x: the whole is [1.0, 2.0]; input should be an object."),
        (Demand, {"inputs_per_day": 1.0}, "inputs of x: 'inputs_per_day' is unknown. Did you mean 'input_per_day'?"),
        (dict[str, Demand], {"a": {"input_per_day": 1, "output_per_day": 2}}, {"a": Demand(1.0, 2.0)}),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (list[str], {"a": "b"}, 'inputs of x: the whole is {"a": "b"}; input should be a valid array.'),
        (int, 3, 3),
        (int, 3.5, "inputs of x: the whole is 3.5"),
    ],
)
def test_values_of_a_type_or_a_sentence(of: Any, values: Any, made: Any) -> None:
    if isinstance(made, str):
        with pytest.raises(UserError, match=re.escape(made)):
            typed(of, values, "inputs of x")
    else:
        assert typed(of, values, "inputs of x") == made
