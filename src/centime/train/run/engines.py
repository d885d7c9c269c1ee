"""The model of a stage on this rank: with what a run starts from, and the loss that the stage's kind trains on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from centime.model import Transformer
from centime.train.engine import AdaptedDevice, Objective, TrainingEngine, frozen_model, new_engine
from centime.train.engine.wrap import apply
from centime.train.folder import is_moment, moments_fit
from centime.train.forecast import trained_parameters
from centime.train.run.setup import Setup
from centime.train.stages import StagePlan
from centime.units import format_count


def begun_with(setup: Setup) -> Mapping[str, Tensor]:
    """The weights that a new run starts from, with what is kept of their optimizer, which is said; empty: random.

    A stage of text goes on with the moments of a checkpoint, where they are of the same optimizer.
    """
    if setup.origin is None:
        return {}
    if (lora := setup.recipe.lora) is not None:
        numbers = trained_parameters(setup.recipe.model, lora)
        share = numbers / trained_parameters(setup.recipe.model, None)
        setup.say(
            f"Trains adapters of rank {lora.rank}, {format_count(numbers)} numbers ({share:.2%} of the model's), "
            f"beside {setup.origin.what}, which stay as they are."
        )
        return {}
    state = setup.origin.read()
    kept = setup.stages[0].kind.text and moments_fit(state, setup.recipe.optimizer.name)
    with_what = "with its optimizer's moments" if kept else "with an optimizer that begins anew"
    setup.say(f"Starts from {setup.origin.what}, {with_what}.")
    return state if kept else {name: tensor for name, tensor in state.items() if not is_moment(name)}


def engine_for(
    setup: Setup, plan: StagePlan, state: Mapping[str, Tensor], moments: bool, timed: bool = False
) -> TrainingEngine:
    """The stage's model: fresh weights, or those of a `state`, with its moments if asked.

    timed: steps of every stage will be timed on it, so its loss is the plain one, which takes all their rows.
    """
    kind = setup.kinds[plan.stage.kind]
    if setup.recipe.lora is not None:
        return _adapted(setup, Objective if timed else lambda model: kind.objective(model, plan.stage), state, moments)
    engine = new_engine(
        plan.config,
        setup.recipe,
        setup.device,
        setup.dtype,
        setup.ranks,
        Objective if timed else lambda model: kind.objective(model, plan.stage),
    )
    if state:
        engine.load(state, moments=moments)
    return engine


def _adapted(
    setup: Setup, objective: Callable[[Transformer], Objective], state: Mapping[str, Tensor], moments: bool
) -> AdaptedDevice:
    """New adapters beside the model that the run starts from, or those of a `state`."""
    assert setup.origin is not None
    assert setup.origin.folder is not None
    assert setup.recipe.lora is not None
    model = frozen_model(setup.origin.folder(), setup.recipe.lora, setup.dtype, setup.device)
    recipe = setup.recipe
    engine = AdaptedDevice(model, setup.recipe.lora, recipe.seed, recipe.optimizer, setup.dtype, objective)
    apply(model, recipe.run)
    if state:
        engine.load(state, moments=moments)
    return engine


def with_own_loss(setup: Setup, engine: TrainingEngine, plan: StagePlan) -> TrainingEngine:
    """The engine that steps were timed on, or for a stage with a loss of its own another one in its place."""
    own = setup.kinds[plan.stage.kind].objective(engine.objective.model, plan.stage)
    if type(own) is Objective:
        return engine
    if isinstance(engine, AdaptedDevice):
        engine.go_on(own)
        return engine
    state = {name: tensor.clone() for name, tensor in engine.state().items()}
    return engine_for(setup, plan, state, moments=True)
