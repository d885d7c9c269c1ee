"""The stages of a bill: which part of it each belongs to, how it is called there, and in which order they stand.

Training's are those of Table 1 of the DeepSeek-V3 report (arXiv:2412.19437), in its order and its words.
"""

from __future__ import annotations

TRAINING, PREPARATION, EVALUATION, SERVING, OTHER = "training", "data", "evaluation", "serving", "other"
SECTIONS = {  # in the bill's order, by the heading of each
    TRAINING: "Training",
    PREPARATION: "Data",
    EVALUATION: "Evaluation",
    OTHER: "Other",
    SERVING: "Serving",
}
# stage -> (section, what people call it); training's in the order of Table 1
_STAGES = {
    "pretrain": (TRAINING, "Pre-training"),
    "context": (TRAINING, "Context extension"),
    "sft": (TRAINING, "Post-training, SFT"),
    "distill": (TRAINING, "Distillation"),
    "grpo": (TRAINING, "Post-training, GRPO"),
    "rl": (TRAINING, "Post-training, RL"),
    "rollout": (TRAINING, "RL, answers drawn"),
    "reward": (TRAINING, "RL, answers graded"),
    "update": (TRAINING, "RL, learned from"),
    "tokenizer": (PREPARATION, "Tokenizer"),
    "data": (PREPARATION, "Data preparation"),
    "prepare": (PREPARATION, "Data preparation"),
    "evaluate": (EVALUATION, "Evaluation"),
    "generate": (SERVING, "Generation"),
    "chat": (SERVING, "Chat"),
    "serve": (SERVING, "Serving"),
    "prefill": (SERVING, "Prefill"),
    "decode": (SERVING, "Decode"),
    "idle": (SERVING, "Idle"),
}
_STARTUP = "startup"
# The section of a stage that is not above ("startup", ...), by the verb that booked it.
_OF_VERB = {
    "train": TRAINING,
    "quickstart": TRAINING,
    "tune": TRAINING,
    "data": PREPARATION,
    "tokenizer": PREPARATION,
    "evaluate": EVALUATION,
    "generate": SERVING,
    "chat": SERVING,
    "serve": SERVING,
}


def kind_of(stage: str) -> str:
    """The stage without its number: a run's second context extension is 'context-2'."""
    base, _, number = stage.rpartition("-")
    return base if number.isdigit() else stage


def section_of(stage: str, verb: str) -> str:
    """The section of what `verb` booked as `stage`, one of SECTIONS."""
    known = _STAGES.get(kind_of(stage))
    return known[0] if known else _OF_VERB.get(verb, OTHER)


def order_of(stage: str) -> int:
    """Where a stage stands within its section: training's as in Table 1, the others after them, start-up last."""
    kind = kind_of(stage)
    training = [name for name, (section, _) in _STAGES.items() if section == TRAINING]
    return training.index(kind) if kind in training else len(training) + (kind == _STARTUP)


def stage_name(stage: str) -> str:
    """'Pre-training' for 'pretrain', 'Context extension 2' for 'context-2', 'Start-up and exit' for 'startup'."""
    kind = kind_of(stage)
    if kind == _STARTUP:
        name = "Start-up and exit"
    else:
        name = _STAGES[kind][1] if kind in _STAGES else kind.replace("_", " ").capitalize()
    return name + stage[len(kind) :].replace("-", " ")
