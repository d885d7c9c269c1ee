"""What each argument of each verb means, and a command of each verb that is right, for the bad inputs to be put in.

An argument that is not in ROLES fails test_every_argument_has_a_role: say there what a new one takes.
"""

from __future__ import annotations

# role -> the arguments that play it: "--flag" or "name" of every verb that has it, or "verb --flag" of one verb alone.
ROLES: dict[str, tuple[str, ...]] = {
    # read
    "model": (
        "generate model",
        "chat model",
        "serve model",
        "export model",
        "evaluate model",
        "model show name",
        "plan train --model",
        "plan serve --model",
        "plan compare --models",
        "plan breakeven --model",
        "plan lifetime --quality-of",
        "plan budget --serve-model",
    ),
    "tokenizer": ("--tokenizer", "tokenizer show folder"),
    "data": ("data show folder", "data check folder"),
    "recipe": ("train recipe",),
    "text": ("sources", "evaluate files", "quickstart --text"),
    "card": ("plan rerun card",),
    "runs": ("plan check file",),
    "case": ("plan explain a", "plan explain b", "plan diff a", "plan diff b"),
    "scenario": ("plan fleet --scenario",),
    "statement": ("bill --import",),
    "run": ("bill run",),
    # written
    "out file": ("--html", "--card", "--focus", "--gguf", "calibrate --out"),
    "out folder": (
        "train --out",
        "data prepare --out",
        "tokenizer train --out",
        "quickstart --out",
        "--disk-cache",
        "--hf",
    ),
    # numbers
    "whole": (
        "--seq",
        "--global-batch",
        "--mtp",
        "plan serve --gpus",
        "plan compare --gpus",
        "--draws",
        "--devices",
        "--port",
        "--max-queue",
        "--max-running",
        "--step-tokens",
        "--replicas",
        "--upstream-devices",
        "--per-minute",
        "--concurrency",
        "--max-tokens",
        "--workers",
        "--vocab-size",
        "--window",
        "--stride",
        "--sequence",
        "--skip-bad-lines",
        "--step",
        "plan budget --years",
        "catalogue price --hit",
        "catalogue price --miss",
        "catalogue price --output",
    ),
    "seed": ("--seed",),
    "real": (
        "--hit",
        "--acceptance",
        "--peak-to-mean",
        "--peak-share",
        "plan fleet --years",
        "--discount",
        "--cache",
        "--disk-size",
        "--keep-alive",
        "--temperature",
        "--top-p",
        "--fim",
        "--holdout",
    ),
    "quantity": (
        "--tokens",
        "plan train --gpus",
        "plan diff --gpus",
        "--isl",
        "--osl",
        "--context",
        "plan breakeven --most",
        "--post-hours",
        "--sft-tokens",
        "--served-tokens",
        "--quality-tokens",
        "plan lifetime --max-tokens",
        "--limit",
    ),
    "duration": ("--ttft", "--tpot"),
    "money": (
        "--price",
        "--serve-price",
        "--chip-price",
        "--power-price",
        "--capex",
        "money",
        "keys add --budget",
        "--staff",
    ),
    "budget": ("train --budget", "quickstart --budget"),
    # words
    "date": ("--date", "--software-date", "catalogue price --at"),
    "word": (
        "--gpu",
        "--chips",
        "--precision",
        "--serve-precision",
        "--layout",
        "--layouts",
        "--rl",
        "--region",
        "--lang",
        "--demand",
        "--prices",
        "--api",
        "--engine",
        "--serve-gpu",
        "--law",
        "--moe-law",
        "--split",
        "--of",
        "--train-model",
        "--kind",
        "--device",
        "--price-list",
        "--host",
        "--dtype",
        "--peak-hours",
        "--chat-format",
        "--cors-origin",
        "--upstream",
        "--upstream-device",
        "catalogue price price_list",
        "keys revoke name",
        "keys top-up name",
        "--undecodable",
        "--set",
        "--fail-over",
    ),
    # anything is right
    "free": (
        "serve --name",
        "--upstream-key",
        "keys add name",
        "--prompt",
        "--stop",
        "--system",
        "--exclude",
        "--field",
        "--separator",
        "tokenizer show text",
    ),
}

# verb -> arguments that are right, in the sandbox of sandbox.py; what they name stands there.
RIGHT: dict[str, dict[str, str]] = {
    "train": {"recipe": "recipe.toml", "--out": "new"},
    "plan train": {"--model": "centime-d2", "--tokens": "1B", "--gpu": "h800", "--gpus": "8"},
    "plan serve": {"--model": "centime-d2", "--gpu": "h800", "--gpus": "1", "--isl": "100", "--osl": "10"},
    "plan explain": {"a": "case.toml", "b": "case.toml"},
    "plan diff": {"a": "case.toml", "b": "case.toml"},
    "plan lifetime": {"--quality-of": "deepseek-v2-lite", "--served-tokens": "1T", "--quality-tokens": "5.7T"},
    "plan fleet": {"--scenario": "scenario.toml", "--draws": "3", "--years": "0.5"},
    "plan budget": {"--capex": "1M$"},
    "plan compare": {"--models": "centime-d2", "--chips": "h800", "--gpus": "8", "--tokens": "1B"},
    "plan breakeven": {
        "--model": "centime-d2",
        "--gpu": "h800",
        "--api": "deepseek-v3.2",
        "--isl": "100",
        "--osl": "10",
    },
    "plan check": {"file": "runs.csv"},
    "plan rerun": {"card": "card.json"},
    "calibrate": {"--out": "profile.json"},
    "bill": {},
    "serve": {"model": "model", "--port": "0"},
    "catalogue price": {"price_list": "deepseek-flash"},
    "catalogue vectors": {},
    "keys add": {"name": "bob"},
    "keys list": {},
    "keys revoke": {"name": "alice"},
    "keys top-up": {"name": "alice", "money": "$5"},
    "generate": {"model": "model", "--prompt": "the cat", "--max-tokens": "2"},
    "chat": {"model": "model", "--max-tokens": "2"},
    "data prepare": {"sources": "text.txt", "--tokenizer": "tok", "--out": "new", "--workers": "1"},
    "data show": {"folder": "data"},
    "data check": {"folder": "data"},
    "tokenizer train": {"sources": "text.txt", "--out": "new", "--vocab-size": "300"},
    "tokenizer show": {"folder": "tok"},
    "model show": {"name": "model"},
    "model list": {},
    "export": {"model": "model", "--gguf": "new.gguf"},
    "evaluate": {"model": "model", "files": "text.txt"},
    "doctor": {},
    "quickstart": {"--text": "texts", "--out": "new"},
}


def role_of(key: str) -> str | None:
    """The role of 'verb --flag' (or 'verb name'); its own line goes before that of all verbs. None: none is said."""
    last = key.rsplit(maxsplit=1)[-1]
    for wanted in (key, last):
        for role, names in ROLES.items():
            if wanted in names:
                return role
    return None


def command(verb: str, changed: dict[str, str]) -> list[str]:
    """The words of the right command of `verb` with some of its arguments given anew."""
    given = RIGHT[verb] | changed
    positional = [value for name, value in given.items() if not name.startswith("--")]
    options = [f"{name}={value}" for name, value in given.items() if name.startswith("--")]
    return [*verb.split(), *options, *(["--", *positional] if positional else [])]
