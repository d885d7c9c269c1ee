"""What a run may start from, and the sentence for everything else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.train.made import CONFIG, model

import centime
from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers.bpe import train_tokenizer, write_tokenizer
from centime.errors import UserError
from centime.model.quantised.quantise import Formats, quantise_folder
from centime.recipe import Recipe, parse
from centime.train.folder import RunFolder, find_origin, require_same_shapes, tokenizer_for
from centime.train.stages import resolve

FROM = 'name = "n"\n[model]\nfrom = "{start}"\n{more}\n[sft]\ndata = "pairs.jsonl"\nsequence_length = 64\n'
SIZED = CONFIG.model_copy(update={"vocab_size": 448})


@pytest.fixture(scope="module")
def start(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder with the corpus's tokenizer."""
    folder = tmp_path_factory.mktemp("start") / "model"
    centime.save(model(config=SIZED), folder, tokenizer=corpus / "tokenizer")
    return folder


def resolved(start: Path, more: str = "", data: str = "") -> Recipe:
    recipe = parse(FROM.format(start=start, more=more) + data)
    assert recipe.start is not None
    origin = find_origin(recipe.start)
    made = resolve(recipe, tokenizer_for(recipe.data.tokenizer, origin), origin.config)
    require_same_shapes(origin, made, recipe.model.model_fields_set)
    return made


def test_a_folder_gives_its_configuration_its_weights_and_its_tokenizer(start: Path) -> None:
    recipe = resolved(start)
    assert recipe.model.hidden_size == CONFIG.hidden_size
    assert recipe.data.tokenizer == start
    state = find_origin(start).read()
    made = model(config=SIZED)
    assert {name.partition("/")[2] for name in state} == set(made.state_dict())
    assert all(torch.equal(state[f"weight/{name}"], tensor) for name, tensor in made.named_parameters())


def test_keys_beside_from_change_what_has_no_shape(start: Path) -> None:
    assert resolved(start, "rope_theta = 5e4").model.rope_theta == 5e4
    assert resolved(start, "num_nextn_predict_layers = 0").model.num_nextn_predict_layers == 0
    with pytest.raises(UserError, match=r"\[model\] hidden_size beside from changes the model: embed\.weight is"):
        resolved(start, "hidden_size = 64")
    with pytest.raises(UserError, match=r"num_nextn_predict_layers beside from .* has no weights there"):
        resolved(start, "num_nextn_predict_layers = 2")


def test_a_tokenizer_of_another_vocabulary_is_refused(start: Path, tmp_path: Path) -> None:
    other, large = tmp_path / "other", tmp_path / "large"
    write_tokenizer(train_tokenizer(["completely different words " * 50], 300), other)
    with pytest.raises(UserError, match=r"is not that of .*has another id"):
        resolved(start, data=f'[data]\ntokenizer = "{other}"\n')
    shutil.copytree(start, large)
    tree = json.loads((start / "tokenizer.json").read_text())
    known, last = list(tree["added_tokens"]), tree["added_tokens"][-1]

    def with_more(count: int) -> Recipe:
        more = [{**last, "id": 400 + number, "content": f"<more{number}>"} for number in range(count)]
        (large / "tokenizer.json").write_text(json.dumps({**tree, "added_tokens": known + more}))
        return resolved(start, data=f'[data]\ntokenizer = "{large}"\n')

    assert with_more(48).data.tokenizer == large, "tokens are only added"
    with pytest.raises(UserError, match=r"has 449 tokens, and the model .* has embeddings of 448"):
        with_more(49)


def test_a_model_without_a_tokenizer_asks_for_one(start: Path, tmp_path: Path, corpus: Path) -> None:
    bare = tmp_path / "bare"
    centime.save(model(config=SIZED), bare)
    with pytest.raises(UserError, match=r"bare comes without a tokenizer\.json; name the folder"):
        resolved(bare)
    assert resolved(bare, data=f'[data]\ntokenizer = "{corpus}/tokenizer"\n').data.tokenizer == corpus / "tokenizer"


def test_what_is_no_model_to_train_is_said(start: Path, tmp_path: Path) -> None:
    gguf, adapter, run = tmp_path / "a.gguf", tmp_path / "adapter", tmp_path / "run"
    gguf.write_bytes(b"GGUF")
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    run.mkdir()
    (run / "recipe.toml").write_text('name = "x"\n')
    quantise_folder(start, tmp_path / "int8", Formats("int8"))
    for given, message in {
        tmp_path / "absent": "does not exist; model.from names",
        tmp_path: r"has no config\.json",
        gguf: "is a GGUF file",
        adapter: r"holds an adapter \(LoRA\), not a model",
        run: "neither a model nor a checkpoint",
        tmp_path / "int8": r"holds quantised weights \(.* is int8\)",
    }.items():
        with pytest.raises(UserError, match=message):
            find_origin(given)


def test_a_run_that_is_still_being_written_is_left_alone(start: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    made = parse('name = "x"\n[model]\n[data]\ntokenizer = "t"\ntrain = [{ path = "t" }]\n')
    with run.held():
        run.begin(made, {})
        step = run.checkpoints / "step-00000001"
        step.mkdir(parents=True)
        (step / "state.json").write_text("{}")
        with pytest.raises(UserError, match=r"still being written: .* in use by another process"):
            find_origin(run.path)


def test_a_context_extension_never_lowers_the_factor_it_goes_on_from() -> None:
    from centime.catalogue.model_config import YarnScaling
    from centime.train.stages import stage_configs

    text = 'name = "n"\n[model]\nfrom = "x"\n[data]\ntrain = [{ path = "t" }]\n[context]\ntokens = 1\n'
    base = ModelConfig(
        rope_scaling=YarnScaling(factor=40, original_max_position_embeddings=4096, mscale=0.707),
        max_position_embeddings=163840,
    )
    for length, factor in ((32768, 40), (4096 * 64, 64)):
        recipe = parse(f"{text}sequence_length = {length}\n").model_copy(update={"model": base})
        [config] = stage_configs(recipe)
        assert config.rope_scaling is not None
        assert (config.rope_scaling.factor, config.rope_scaling.mscale) == (factor, 0.707)
        assert config.max_position_embeddings == factor * 4096
