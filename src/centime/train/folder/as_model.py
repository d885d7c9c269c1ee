"""A run that is not finished, or one of its checkpoints, as a model folder: what was paid for can be used."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from centime import recipe as recipes
from centime.errors import UserError
from centime.files.leftovers import discard
from centime.json_files import read_object
from centime.model.adapted.files import CONFIG as ADAPTER_CONFIG
from centime.model.adapted.files import adapter_in, write_adapter
from centime.model.adapted.sites import sites_named
from centime.model.checkpoint import load, save, save_state
from centime.ops.finite import first_not_finite
from centime.recipe import Recipe
from centime.train.engine import adapter_of, low_rank_settings
from centime.train.folder.checkpoints import META, Checkpoints, checkpoints_in, step_of, weights_in
from centime.train.folder.earlier import require_resolved
from centime.train.folder.resume import read_checkpoint
from centime.train.folder.run_folder import RunFolder
from centime.train.stages import stage_configs

AT_STEP = re.compile(r"at-step-[0-9]{8,}")  # folders beside a run's checkpoints that are made here
_OURS = re.compile(
    r"(adapter_)?config\.json|adapter_model\.safetensors|generation_config\.json|model.*\.safetensors(\.index\.json)?|[^/]*token.*\.json|\..*"
)


def usable(path: Path, say: Callable[[str], None]) -> Path:
    """`path`, or where it is a run without a model, or a checkpoint, a model folder beside it, written once a step.

    `say` hears how far the run was. Raises UserError for a damaged checkpoint, or a folder that cannot be written.
    """
    run, step = run_of(path)
    if run is None:
        return path
    checkpoint = chosen(run, step)
    folder = run.path / checkpoint.name.replace("step-", "at-step-")
    if not any((folder / name).is_file() for name in ("config.json", ADAPTER_CONFIG)):
        for old in run.path.glob("at-step-*"):
            if AT_STEP.fullmatch(old.name) and all(_OURS.fullmatch(name) for name in os.listdir(old)):
                discard(old)
        write(run, checkpoint, folder)
    say(f"{how_far(run, checkpoint)} The model is as it was then.")
    return folder


def export(path: Path, out: Path, step: int | None) -> str:
    """Writes a run's model, or its checkpoint of `step`, or a model folder, to `out` as a Hugging Face folder.

    Returns a sentence for the reader. Raises UserError where there is none, or `out` cannot be written.
    """
    if adapter_in(path) is not None or is_of_adapter(path):
        raise UserError(f"{path} is an adapter: --merge writes it with its model, and --peft DIR by itself.")
    run, own = run_of(path)
    if run is None and (path / "recipe.toml").is_file():
        run = RunFolder(path)
    if run is None or (step is None and own is None and run.finished):
        if step is not None:
            raise UserError(f"{path} is no run, and so has no step {step:,}; leave --step out.")
        source = path / "model" if (path / "model" / "config.json").is_file() else path
        save(load(source, dense=True), out, tokenizer=source)
        return f"{out}: the model of {source}."
    checkpoint = chosen(run, own if step is None else step)
    write(run, checkpoint, out)
    return f"{out}: {how_far(run, checkpoint)}"


def write(run: RunFolder, checkpoint: Path, out: Path) -> None:
    """A checkpoint's weights as a Hugging Face folder with its tokenizer, in the type that the run computed in; of
    adapters as PEFT's folder."""
    recipe = require_resolved(recipes.read(run.recipe), run.path)
    found = read_checkpoint(checkpoint)
    if (bad := first_not_finite(found.tensors)) is not None:
        raise UserError(f"{checkpoint} has numbers that are not finite (first in {bad}); give an earlier step.")
    configs = stage_configs(recipe)
    if found.place.progress.stage >= len(configs):
        raise UserError(f"{checkpoint / META} is damaged: {run.recipe} has no stage {found.place.progress.stage}.")
    weights: dict[str, Tensor] = weights_in(found.tensors)
    if (lora := recipe.lora) is not None:
        where = tuple(sites_named(recipe.model, lora.targets, "lora.targets"))
        made = adapter_of(weights, where, low_rank_settings(lora), base_name(recipe))
        write_adapter(out, made, recipe.model)
        return
    precision = read_object(run.info).get("precision") if run.info.exists() else None
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    save_state(configs[found.place.progress.stage], weights, out, recipe.data.tokenizer, dtype)


def is_of_adapter(path: Path) -> bool:
    """Whether a run, or one of its checkpoints, trains an adapter."""
    run = path if (path / "recipe.toml").is_file() else path.parent.parent
    recipe = run / "recipe.toml"
    return recipe.is_file() and recipes.read(recipe).lora is not None


def base_name(recipe: Recipe) -> str:
    """The model that a run's adapters are of, as their folder names it: absolute, where it is a path."""
    start = recipe.start
    assert start is not None
    return str(start.resolve()) if start.exists() else str(start)


def run_of(path: Path) -> tuple[RunFolder | None, int | None]:
    """(the run, None) of a run without a model; (the run, step) of one of its checkpoints; (None, None) of all else."""
    if (path / "config.json").is_file():
        return None, None
    match = re.fullmatch(r"step-([0-9]{8,})", path.name)
    if match and (path / META).is_file() and (path.parent.parent / "recipe.toml").is_file():
        return RunFolder(path.parent.parent), int(match[1])
    if (
        (path / "recipe.toml").is_file()
        and not RunFolder(path).finished
        and Checkpoints.newest(path / "checkpoints") is not None
    ):
        return RunFolder(path), None
    return None, None


def chosen(run: RunFolder, step: int | None) -> Path:
    """The newest checkpoint, or that of a step. Raises UserError where there is none."""
    newest = Checkpoints.newest(run.checkpoints)
    if newest is None:
        raise UserError(f"{run.path} has no checkpoint yet; `centime train {run.path} --resume` goes on with it.")
    if step is None:
        return newest
    path = run.checkpoints / f"step-{step:08d}"
    if not path.is_dir():
        there = sorted(map(step_of, checkpoints_in(run.checkpoints)))
        raise UserError(
            f"{run.path} has no checkpoint of step {step:,}; it has {', '.join(f'{each:,}' for each in there)}. "
            "run.keep says how many stay."
        )
    return path


def how_far(run: RunFolder, checkpoint: Path) -> str:
    """'runs/tiny at step 400 of 600.'"""
    meta = read_object(checkpoint / META)
    steps = meta.get("steps")
    of = f" of {steps:,}" if type(steps) is int else ""
    return f"{run.path} at step {step_of(checkpoint):,}{of}."
