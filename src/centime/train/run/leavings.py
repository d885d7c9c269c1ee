"""What a run leaves on the way and at its end: records, checkpoints, samples, the saved model."""

from __future__ import annotations

from centime.errors import UserError
from centime.model.adapted.files import write_adapter
from centime.model.checkpoint import save_state
from centime.ops.finite import first_not_finite
from centime.train.engine import AdaptedDevice, SingleDevice, TrainingEngine
from centime.train.folder import Checkpoints, RunProgress, weights_in
from centime.train.folder.as_model import base_name
from centime.train.run.callbacks import Callback, MetricsFile, ProgressBar, TensorBoard
from centime.train.run.loop import StageLoop
from centime.train.run.samples import write_sample
from centime.train.run.setup import Setup
from centime.train.run.signals import Interrupted, StopSignals
from centime.train.stages import StagePlan


def callbacks_of(setup: Setup, where: RunProgress) -> list[Callback]:
    """Of the first rank: the progress bar, metrics.jsonl and TensorBoard."""
    folder, step = setup.folder, where.global_step or -1  # of a run that begins anew no record stays
    found: list[Callback] = [MetricsFile(folder.metrics, step), ProgressBar(setup.console)]
    if not setup.recipe.run.tensorboard:
        return found
    return [*found, TensorBoard(folder.tensorboard / folder.path.resolve().name, step)]


def checkpoints_of(setup: Setup, callbacks: list[Callback]) -> Checkpoints:
    """The run's checkpoints; what goes wrong with one is a note of the callbacks."""

    def tell(text: str) -> None:
        for callback in callbacks:
            callback.on_note(text)

    return Checkpoints(setup.folder.checkpoints, setup.recipe.run.keep, tell)


def sample(setup: Setup, engine: TrainingEngine, plan: StagePlan, loop: StageLoop, signals: StopSignals) -> bool:
    """A few words of the model at the end of a stage, beside what its loop has; on one device only, as generation runs
    the whole model.

    False if a signal has cut it short.
    """
    if not isinstance(engine, SingleDevice):
        return True
    try:
        with signals.interruptible():
            path, tokens = setup.folder.samples, loop.progress.tokens
            write_sample(path, engine.model, setup.tokenizer, plan, tokens, setup.recipe, loop.samples)
    except Interrupted:
        return False
    except Exception as error:  # whatever it was: a sample is for the reader, and the model is not saved yet
        setup.console.print(f"{plan.name} ends without a sample ({error}).", markup=False)
    return True


def save_model(setup: Setup, engine: TrainingEngine, plan: StagePlan) -> None:
    """The result as a Hugging Face folder, in the type that it was trained to compute in (routing bias in fp32), or an
    adapter in PEFT's format.

    Every rank calls it. Raises UserError where a number is not finite, or the folder cannot be written.
    """
    state = engine.state()
    if (bad := first_not_finite(state)) is not None:
        raise UserError(
            f"The model is not saved: {bad.partition('/')[2]} has numbers that are not finite. Lower the last "
            "stage's lr or optimizer.clip; the checkpoints before that are good."
        )
    if isinstance(engine, AdaptedDevice):
        write_adapter(setup.folder.adapter, engine.adapter(base_name(setup.recipe)), setup.recipe.model)
    elif setup.ranks.rank == 0:
        save_state(plan.config, weights_in(state), setup.folder.model, setup.recipe.data.tokenizer, setup.dtype)
