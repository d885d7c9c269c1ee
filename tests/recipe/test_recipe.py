"""The recipe: round trip, overrides, and refusals that name the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime import recipe
from centime.errors import UserError

TEXT = """
name = "small"
[model]
num_hidden_layers = 2
[data]
tokenizer = "corpus/tokenizer"
train = [{ path = "corpus/train" }]
[train]
tokens = "2M"
constant_until = "1.5M"
[context]
tokens = 100_000
sequence_length = 512
"""


def test_written_recipe_reads_back_equal() -> None:
    first = recipe.parse(TEXT, ["model.kv_lora_rank=none", "model.qk_nope_head_dim=0", "model.v_head_dim=16"])
    assert recipe.parse(recipe.write(first)) == first
    assert first.model.kv_lora_rank is None
    assert first.train.tokens == 2_000_000
    assert first.train.constant_until == 1_500_000


def test_every_key_of_ours_is_documented() -> None:
    def undocumented(section: type[recipe.RecipeSection], path: str) -> list[str]:
        return [f"{path}.{name}" for name, field in section.model_fields.items() if not field.description]

    sections = (
        recipe.Source,
        recipe.Pretrain,
        recipe.Context,
        recipe.Sft,
        recipe.Optimizer,
        recipe.RunSection,
        recipe.Plateau,
    )
    assert [name for section in sections for name in undocumented(section, section.__name__)] == []


@given(lr=st.floats(1e-8, 10), seed=st.integers(0, 2**31), warmup=st.integers(0, 10**6))
def test_overrides_survive_the_round_trip(lr: float, seed: int, warmup: int) -> None:
    read = recipe.parse(TEXT, [f"train.lr={lr!r}", f"seed={seed}", f"train.warmup_steps={warmup}"])
    assert (read.train.lr, read.seed, read.train.warmup_steps) == (lr, seed, warmup)
    assert recipe.parse(recipe.write(read)) == read


def test_one_context_table_and_a_numbered_one_take_overrides() -> None:
    assert recipe.parse(TEXT, ["context.lr=1e-4"]).context[0].lr == 1e-4
    two = TEXT.replace("[context]", "[[context]]") + "\n[[context]]\ntokens = 5\nsequence_length = 512\n"
    assert recipe.parse(two, ["context.1.lr=2e-5"]).context[1].lr == 2e-5
    with pytest.raises(UserError, match="not one of the 2 items"):
        recipe.parse(two, ["context.7.lr=2e-5"])


def test_an_item_of_a_list_is_set_by_its_number_and_no_other() -> None:
    three = TEXT.replace('[{ path = "corpus/train" }]', '[{ path = "a" }, { path = "b" }, { path = "c" }]')
    parsed = recipe.parse(three, ["data.train.1={path='other'}", "data.train.2.path=last"])
    assert [source.path for source in parsed.data.train] == [Path("a"), Path("other"), Path("last")]


def test_a_recipe_of_reinforcement_says_all_that_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "rl.toml"
    path.write_text('name = "small"\n[model]\nfrom = "there"\n[rl.problems]\nsource = "chains"\n')
    read = recipe.read(path, ["rl.lr=1e-4", "rl.problems.hardest=3", f"name={'n' * 100}"])
    ((name, stage),) = read.stages
    assert isinstance(stage, recipe.Rl)
    assert (read.start, stage.lr, stage.problems.hardest, read.name) == (Path("there"), 1e-4, 3, "n" * 100)
    assert (name, stage.problems.source, stage.steps, stage.deterministic) == ("rl", "chains", 100, False)
    assert (read.run.micro_batch, read.run.checkpoint_every, read.run.deterministic) == (64, 20, False)
    same = recipe.read(path, ["run.deterministic=true"])
    assert (same.stage[0].deterministic, same.run.deterministic) == (True, True)
    assert recipe.parse(recipe.write(read)) == read
    for bad, said in ((f"name={'n' * 101}", "at most 100"), ("rl.samples=1", "greater than 1"), ("rl.lr=0", "than 0")):
        with pytest.raises(UserError, match=said):
            recipe.read(path, [bad])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rat=1", r"train\.learning_rat is not a key"),
        ("train.warmup_step=1", r"Did you mean 'warmup_steps'"),
        ("model.num_layers=3", r"Did you mean 'num_hidden_layers'"),
        ("optimiser.name=muon", r"Did you mean 'optimizer'"),
        ("context.sequence_lenght=9", r"Did you mean 'sequence_length'"),
        ("train.lr=fast", r"train\.lr is 'fast'"),
        ("train.lr=-1", r"greater than 0"),
        ("optimizer.name=adam", r"'adamw' or 'muon'"),
        ("train.batch_size=2.5", r"train\.batch_size is 2\.5"),
        ("train.tokens=many", r"not a quantity"),
        ("data.train=[]", r"data\.train"),
        ("model.num_experts_per_tok=99", r"more than the 16 experts"),
        ("model.preset=deepseek-v33", r"deepseek-v3"),
        ("model.preset=src", r'a folder; .* say from = "src" instead'),
        ("model.weights=somewhere", r'named by from in \[model\]: from = "FOLDER"'),
        ("model.from=3", r"model\.from is 3; expected a model's folder, a run, or a Hub id"),
        ("lora.rank=8", r"lora trains beside weights that exist"),
        ("lora_rank=8", r"Adapters have a table of their own: \[lora\] rank = 16"),
        ("train.lr", r"not of the form"),
        ("seed.x=1", r"is a value, not a section|valid integer"),
        ("seed=1e23", r"seed is 1e\+23, which does not fit: should be a valid integer"),
        ("seed=9223372036854775808", "less than or equal to 9223372036854775807"),
        ("train.tokens=1e30", r"train\.tokens is 1e\+30.*less than or equal to 10000000000000000"),
        ("train.tokens='1e999'", r"train\.tokens is '1e999'.*can be held"),
        ("train.batch_size=100000000000", "less than or equal to 16777216"),
        ("train.batch_size=true", r"train\.batch_size is true.*valid integer"),
        ("train.lr=true", r"train\.lr is true.*valid number"),
        ("train.lr=inf", r"train\.lr is inf.*finite"),
        ("train.lr=nan", r"train\.lr is nan.*finite"),
        ("context.factor=inf", r"context\.0\.factor is inf.*finite"),
        ("run.compile=1", r"run\.compile is 1.*valid boolean"),
        ("model.hidden_size=true", r"model\.hidden_size is true.*valid integer"),
        ("model.depth=[1]", r"model\.depth is \[1\]; expected a whole number from 2 to 17"),
        ("model.depth=3.7", r"model\.depth is 3\.7; expected a whole number"),
        ("model.depth=true", r"model\.depth is true; expected a whole number"),
        ("model.preset=3", r"model\.preset is 3; expected a model's name"),
        ("model.rope_theta=1", r"rope_theta is 1.*greater than 1"),
        ("context.sequence_length=128", r"context\.sequence_length is 128, shorter than the 256"),
        ("context.factor=1.5", r"context\.factor 1\.5 extends 256 positions to 384, fewer than.*512"),
        ("train.batch_size_start=4", "belong together"),
        ("data.tokenizer=''", "a path has a character at least"),
        ("name='" + "a" * 200 + "'", "at most 100 characters"),
        ("train.lr=" + "[" * 100_000, "nested too deeply"),
        ("train.lr=" + "9" * 5000, r"5,002 characters|valid number"),
        ("a." * 6000 + "b=1", "6,001 parts"),
        ("sft.0.lr=1", r"the recipe has no \[\[sft\]\] yet, so none to number"),
        ("data.held_out.0.path=x", r"has no \[\[data\.held_out\]\] yet"),
    ],
)
def test_refusals_are_sentences(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe.parse(TEXT, [override])


def test_missing_file_and_broken_toml(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        recipe.read(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = \n")
    with pytest.raises(UserError, match=r"broken\.toml is not TOML.*line 1"):
        recipe.read(broken)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# caf\xe9\n".encode("latin-1"), "is not in UTF-8, at byte 5; save it as that"),
        (TEXT.encode("utf-16"), r"is not in UTF-8 \(UTF-16\?\)"),
        (b"a = " + b"[" * 100_000, "nested too deeply|is not TOML"),
        (b"a." * 3_000 + b"b = 1", "nested too deeply"),
        (b"a." * 50 + b"b = 1", "nested too deeply"),
        (b"a." * 49 + b"b = 1", "a is unknown|Unknown|unknown|is no"),
        (b"seed = " + b"9" * 5000, "is not TOML"),
        (b"", "data is missing|name is missing"),
    ],
)
def test_files_that_are_no_recipe_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"bad\.toml.*({message})"):
        recipe.read(path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert recipe.read(path) == recipe.parse(TEXT)


def test_list_items_are_named_by_plain_numbers() -> None:
    two = TEXT.replace("[context]", "[[context]]") + "\n[[context]]\ntokens = 5\nsequence_length = 512\n"
    for index in ("²", "9" * 5000, "-1"):
        with pytest.raises(UserError, match="not one of the 2 items"):
            recipe.parse(two, [f"context.{index}.lr=1"])


def test_shipped_recipes_are_valid(root: Path) -> None:
    found = sorted((root / "recipes").glob("*.toml"))
    assert found
    for path in found:
        assert recipe.parse(recipe.write(recipe.read(path))) == recipe.read(path)
