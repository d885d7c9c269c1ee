"""The model as it was at the end of an earlier stage, from the run's checkpoints."""

from __future__ import annotations

from pathlib import Path

from centime import recipe as recipes
from centime.errors import UserError
from centime.json_files import read_object
from centime.model import Transformer
from centime.train.folder import RunFolder
from centime.train.folder.checkpoints import META, read, weights_in
from centime.train.stages import stage_configs


def before_sft(folder: Path) -> Transformer:
    """The model of a finished run just before its sft stage. Raises UserError when that checkpoint is gone."""
    run = RunFolder(folder)
    configs = stage_configs(recipes.read(run.recipe))
    wanted = len(configs) - 2  # sft is the last stage
    paths = sorted(run.checkpoints.glob("step-*"))
    found = [path for path in paths if read_object(path / META).get("stage") == wanted]
    if not found:
        raise UserError(f"{run.checkpoints} has no checkpoint from before sft; raise run.keep in the recipe.")
    tensors, _ = read(found[-1])
    model = Transformer(configs[wanted])
    model.load_state_dict(weights_in(tensors))
    return model.eval()
