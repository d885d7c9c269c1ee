"""Whether a run still learns: a loss of 0 is explained, and a dead run stops itself and says why."""

from __future__ import annotations

from centime.errors import UserError
from centime.recipe.rl_section import ReinforcementSection
from centime.tune.groups import Drawn

DEAD_SHARE = 0.97  # of groups silent, from which a step counts as one without a signal
NARROW = 0.01  # nats a token: below it the policy says one thing, whatever is drawn


class RunHealth:
    """Follows the steps of a run. `silent_steps` in a row had next to no signal."""

    def __init__(self, settings: ReinforcementSection) -> None:
        self._settings, self.silent_steps, self._explained = settings, 0, False

    def look(self, step: int, drawn: Drawn, share_silent: float, entropy: float | None) -> str | None:
        """A sentence where a step could teach nothing, once. Raises UserError where too many in a row could not."""
        if share_silent < DEAD_SHARE:
            self.silent_steps, self._explained = 0, False
            return None
        self.silent_steps += 1
        right = drawn.mean("right") if drawn.groups else 0.0
        cause = _cause(drawn, right, entropy)
        if self.silent_steps >= self._settings.dead_after and right < 0.9:
            raise UserError(
                f"The run is dead: in {self.silent_steps} steps in a row, the last one step {step}, {share_silent:.0%} "
                f"or so of the groups had no signal. {cause} Its last checkpoint is kept."
            )
        if self._explained:
            return None
        self._explained = True
        return f"step {step}: the loss is 0, for {share_silent:.0%} of the groups have no signal. {cause}"


def _cause(drawn: Drawn, right: float, entropy: float | None) -> str:
    cut = [sample.cut for group in drawn.groups for sample in group.samples]
    if right >= 0.9:
        return "All samples are right: the problems are learned. Ask harder ones, or stop here (rl.target)."
    if cut and sum(cut) > len(cut) / 2:
        return "Most answers are cut off: raise rl.max_tokens, or check that the model knows its end token."
    if drawn.groups and drawn.mean("formed") < 0.05:
        return (
            "No answer has the form that the reward looks for: show it in a short sft first, ask for it in the prompt, "
            "or set rl.format_reward."
        )
    if entropy is not None and entropy < NARROW:
        return (
            f"The policy has narrowed to one answer (entropy {entropy:.2g} nats a token): go back to an earlier "
            "checkpoint with a lower rl.lr, or raise rl.loss.clip_high or rl.loss.kl."
        )
    return (
        "No sample is right: the problems are too hard to begin with. Start with easier ones (rl.problems.curriculum), "
        "draw more samples (rl.samples), or tune a little on worked answers first."
    )
