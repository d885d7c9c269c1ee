"""The script that builds the catalogue's tables from research tables, and its reader of model configurations."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.catalogue.layer_pattern import parse_pattern
from centime.catalogue.models import read_table


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


fold = load(Path(__file__).parents[2] / "scripts" / "catalogue_families.py").fold


@pytest.fixture
def models(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "scripts"))
    return load(root / "scripts" / "catalogue_models.py")


def test_the_catalogue_is_what_its_script_builds_from_the_research_tables(
    root: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts"))
    script = load(root / "scripts" / "build_catalogue.py")
    tables = shared / "data" / "plan"
    if not (tables / "prices.csv").exists():
        pytest.skip("the shared data has no research tables of prices")
    for name, rows in (
        ("chips", script.chips(tables / "hardware.csv")),
        ("chip_assumptions", script.chip_assumptions(tables / "hardware.csv")),
        ("prices", script.prices(tables / "prices.csv")),
        ("price_history", script.price_history(tables / "prices.csv")),
        ("api_prices", script.api_prices(tables / "prices.csv")),
        ("export_rules", script.read(root / "scripts/catalogue_sources/export_rules.csv")),
        ("market", script.read(tables / "market.csv")),
    ):
        script.write(tmp_path / f"{name}.csv", rows)
        assert (tmp_path / f"{name}.csv").read_bytes() == (root / "src/centime/catalogue" / f"{name}.csv").read_bytes()


@given(st.lists(st.sampled_from(["AD", "WE", "S", "E", "D512"]), min_size=1, max_size=24))
def test_a_folded_pattern_says_the_same_layers(layers: list[str]) -> None:
    assert parse_pattern(fold(layers)) == layers


def test_a_configuration_becomes_the_row_of_the_catalogue(root: Path, models: ModuleType) -> None:
    shipped = read_table(root / "src/centime/catalogue/models.csv")["deepseekv2"]
    raw = json.loads((root / "src/centime/catalogue/models/deepseek-v2.json").read_text(encoding="utf-8"))
    row = models.read_config(raw)
    assert parse_pattern(row["pattern"]) == ["LD"] + ["LE"] * 59
    assert (int(row["hidden"]), int(row["vocab"])) == (shipped.hidden, shipped.vocab)
    with pytest.raises(ValueError, match="model_type 'mystery' is not known"):
        models.read_config(raw | {"model_type": "mystery"})


def test_totals_that_a_name_states(models: ModuleType) -> None:
    assert models.published("Qwen3.5-397B-A17B") == {
        "published_params": "397000000000",
        "published_active": "17000000000",
    }
    assert models.published("DeepSeek-V3") == {}
