"""What a run starts from: a model's folder, another run or a checkpoint of one, or a model of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from centime import recipe as recipes
from centime.catalogue.hf import config as hf_config
from centime.catalogue.hf.hub import is_hub_name
from centime.catalogue.model_config import ModelConfig
from centime.data.tokenizers import Tokenizer, load_tokenizer
from centime.errors import UserError
from centime.files.lock import INSIDE, FolderLock, InUse
from centime.json_files import read_object
from centime.model import Transformer
from centime.model.adapted.files import adapter_in
from centime.model.adapted.sites import sites_named
from centime.model.checkpoint import load
from centime.model.folder import StoredModel
from centime.recipe import Recipe
from centime.train.folder.as_model import chosen, how_far, run_of
from centime.train.folder.checkpoints import META
from centime.train.folder.earlier import require_resolved
from centime.train.folder.hub_model import description_of, weights_of
from centime.train.folder.progress import RunProgress
from centime.train.folder.resume import place_of, read_checkpoint
from centime.train.folder.run_folder import RunFolder
from centime.train.stages import stage_configs


@dataclass(frozen=True)
class Origin:
    """Weights that exist: all that can be said of them before they are read, and how they are."""

    name: str  # as the recipe has it
    config: ModelConfig
    tokenizer: Path  # the folder of its tokenizer, template and generation settings
    read: Callable[[], dict[str, Tensor]]  # fp32 by 'kind/name', as an engine loads them; moments of a checkpoint too
    what: str  # in words
    folder: Callable[[], Path] | None = None  # of weights that can be read again at any time; of a checkpoint none


def find_origin(start: Path, *, frozen: bool = False) -> Origin:
    """What `[model] from` names. frozen: its weights stay as they are, so that quantised ones will do.

    Raises UserError where it is no model, is being written, or cannot be trained.
    """
    if start.suffix == ".gguf" and start.is_file():
        raise UserError(
            f"{start} is a GGUF file, whose weights are rounded for serving; training starts from a folder. Write one "
            f"with: centime export {start} --hf FOLDER, then centime export FOLDER --hf PLAIN"
        )
    if not start.exists():
        name, _, revision = str(start).partition("@")
        if is_hub_name(name):
            return _of_hub(name, revision or None, frozen)
        raise UserError(
            f"{start} does not exist; model.from names a model's folder, a run, a checkpoint of one, or a model of the "
            "Hugging Face Hub as owner/name."
        )
    if adapter_in(start) is not None:
        raise UserError(
            f"{start} holds an adapter (LoRA), not a model; merge it into the model that it was trained on, and start "
            f"from there: centime export {start} --merge --hf FOLDER"
        )
    run, step = run_of(start)
    if run is not None:
        return _of_run(start, run, step)
    if (start / "recipe.toml").is_file() and not hf_config.holds_model(start):
        raise UserError(f"{start} is a run that has neither a model nor a checkpoint yet; let it train first.")
    return _of_folder(str(start), hf_config.model_folder(start), frozen)


def _of_folder(name: str, folder: Path, frozen: bool = False) -> Origin:
    stored = StoredModel(folder)
    if stored.matrices and not frozen:
        some = next(iter(stored.matrices))
        kind = stored.matrices[some].kind
        raise UserError(
            f"{name} holds quantised weights ({some} is {kind}), which have no gradients; give the model that they "
            f"were made from, write them as plain numbers first (centime export {name} --hf FOLDER), or train an "
            "adapter beside them with [lora]."
        )
    return Origin(name, stored.config, folder, lambda: _plain(folder), f"the weights of {name}", lambda: folder)


def _plain(folder: Path) -> dict[str, Tensor]:
    model = load(folder, torch.float32)
    parameters = dict(model.named_parameters())
    return {
        f"{'weight' if tensor_name in parameters else 'buffer'}/{tensor_name}": tensor.detach()
        for tensor_name, tensor in model.weights().items()
    }


def _of_hub(name: str, revision: str | None, frozen: bool) -> Origin:
    folder = description_of(name, revision)
    config, raw = hf_config.read(folder)
    if raw.get("quantization_config") and not frozen:
        raise UserError(
            f"{name} holds quantised weights (quantization_config in its config.json), which have no gradients; name "
            "the model that they were made from."
        )
    read = lambda: _of_folder(name, weights_of(name, revision)).read()  # noqa: E731
    what = f"the weights of {name} ({folder.name[:12]})"
    return Origin(name, config, folder, read, what, lambda: weights_of(name, revision))


def _of_run(start: Path, run: RunFolder, step: int | None) -> Origin:
    """A checkpoint of a run: its weights in fp32, and its optimizer's moments."""
    with _still(start, run):
        checkpoint = chosen(run, step)
        said = how_far(run, checkpoint).rstrip(".")
        recipe = require_resolved(recipes.read(run.recipe), run.path)
        if recipe.lora is not None:
            raise UserError(
                f"{start} is a run that trains an adapter, not a model; merge it into the model that it is of: centime "
                f"export {start} --merge --hf FOLDER"
            )
        stage = _progress(checkpoint, run).stage
    assert recipe.data.tokenizer is not None

    def read() -> dict[str, Tensor]:
        with _still(start, run):
            return read_checkpoint(checkpoint).tensors

    return Origin(str(start), stage_configs(recipe)[stage], recipe.data.tokenizer, read, said)


def _progress(checkpoint: Path, run: RunFolder) -> RunProgress:
    """How far a run was at a checkpoint. Raises UserError where that is no place of the run."""
    progress = place_of(read_object(checkpoint / META), checkpoint / META).progress
    if progress.stage >= len(recipes.read(run.recipe).stages):
        raise UserError(f"{checkpoint} is damaged: {run.recipe} has no stage {progress.stage}.")
    return progress


@contextmanager
def _still(start: Path, run: RunFolder) -> Iterator[None]:
    """While nobody trains in the run: its checkpoints come and go while somebody does."""
    try:
        lock = FolderLock(run.path / INSIDE, run.path, "wait until it is done, or stop it, then start from it")
    except InUse as error:
        raise UserError(f"{start} is a run that is still being written: {error}") from error
    except OSError:  # a folder in which nobody may write
        yield
        return
    with lock:
        yield


def require_same_shapes(origin: Origin, recipe: Recipe, stated: set[str]) -> None:
    """Raises UserError where the model of a resolved recipe has not the tensors of its origin, or not their shapes.

    stated: the keys that the recipe has beside `from`.
    """
    there, wanted = _shapes(origin.config), _shapes(recipe.model)
    for name, shape in wanted.items():
        if there.get(name) == shape:
            continue
        changed = sorted(key for key in stated if getattr(recipe.model, key) != getattr(origin.config, key))
        found = f"is {tuple(shape)} instead of {tuple(there[name])}" if name in there else "has no weights there"
        raise UserError(
            f"[model] {', '.join(changed)} beside from changes the model: {name} {found}. Weights that exist keep "
            f"their shapes: leave {'it' if len(changed) == 1 else 'them'} out."
        )


def require_adaptable(origin: Origin, recipe: Recipe, world: int) -> None:
    """Raises UserError where no adapter can be trained beside the weights of `origin` as a resolved recipe has it."""
    assert recipe.lora is not None
    if origin.folder is None:
        raise UserError(
            f"{origin.name} is a checkpoint, which goes as its run goes on, and an adapter needs its model for good: "
            f"write that first, centime export {origin.name} --hf FOLDER, and start from there."
        )
    if world > 1:
        raise UserError("Adapters are trained in one process yet; start it without torchrun, or leave [lora] out.")
    own = {"bos_token_id", "eos_token_id"}
    there, wanted = (config.model_dump(exclude=own) for config in (origin.config, recipe.model))
    if changed := sorted(key for key in wanted if wanted[key] != there[key]):
        raise UserError(
            f"[model] {', '.join(changed)} beside from changes the model, and an adapter is of a model as it is: leave "
            f"{'it' if len(changed) == 1 else 'them'} out."
        )
    sites_named(recipe.model, recipe.lora.targets, "lora.targets")


def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Transformer(config).state_dict().items()}


def tokenizer_for(stated: Path | None, origin: Origin | None) -> Tokenizer:
    """The recipe's tokenizer, or the origin's own. Raises UserError where it gives other ids than the origin's."""
    if origin is None:
        assert stated is not None  # or the recipe would have been refused
        return load_tokenizer(stated)
    if stated is None and not (origin.tokenizer / "tokenizer.json").is_file():
        raise UserError(
            f"{origin.name} comes without a tokenizer.json; name the folder of its tokenizer as tokenizer in [data]."
        )
    tokenizer = load_tokenizer(stated or origin.tokenizer)
    if stated is not None and (origin.tokenizer / "tokenizer.json").is_file():
        own = load_tokenizer(origin.tokenizer)
        if (token := tokenizer.differs_from(own)) is not None:
            raise UserError(
                f"The tokenizer {stated} is not that of {origin.name}: {token!r} has another id. The model knows its "
                "own ids alone; leave data.tokenizer out, or give one that only adds tokens."
            )
    return tokenizer
