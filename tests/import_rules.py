"""Who may import whom: the rules that keep the rooms apart."""

from __future__ import annotations

# room -> the parts of centime it may import, besides itself. WORDS are shared by all.
WORDS = {
    *("addresses", "children", "csv_files", "errors", "files", "input_files", "installation", "json_files"),
    *("messages", "threads", "typed_trees", "units", "version"),
}

MAY_IMPORT: dict[str, set[str]] = {
    "addresses": set(),
    "errors": set(),
    "children": set(),
    "csv_files": {"errors"},
    "units": {"errors"},
    "messages": {"units"},
    "json_files": {"errors"},
    "files": {"errors", "installation", "json_files", "units", "version"},
    "input_files": {"errors"},
    "typed_trees": {"errors"},
    "charts": {"version"},
    "installation": {"errors"},
    "threads": set(),
    "version": set(),
    "native": {"version"},
    "ops": {"native"},
    "catalogue": WORDS,
    "plan": {"catalogue", "charts", *WORDS},
    "ledger": {"catalogue", *WORDS},
    "model": {"ops", "catalogue", "plan", *WORDS},
    "data": {"catalogue", "ledger", *WORDS},
    "recipe": {"catalogue", *WORDS},
    "train": {"catalogue", "charts", "data", "ledger", "model", "ops", "plan", "recipe", "serve", *WORDS},
    "tune": {"catalogue", "charts", "data", "ledger", "model", "ops", "plan", "recipe", "serve", "train", *WORDS},
    "evaluate": {"catalogue", "data", "ledger", "model", "ops", "plan", "serve", *WORDS},
    "serve": {"catalogue", "charts", "data", "ledger", "model", "native", "ops", "plan", *WORDS},
    "doctor": {"catalogue", "ledger", "native", *WORDS},
    "calibrate": {"catalogue", "ledger", "model", "ops", "plan", "recipe", "train", *WORDS},
    "quickstart": {"catalogue", "data", "evaluate", "ledger", "model", "plan", "recipe", "serve", "train", *WORDS},
}

# Within plan: room -> the rooms, and the files beside them, that it may import. What computes stands above what it is
# built on, each verb's room above those that it asks; reports alone say how a plan is shown.
PLAN_MAY_IMPORT: dict[str, set[str]] = {
    "typed_inputs": set(),
    "show": set(),
    "verbs": {"show"},
    "card": {"verbs"},
    "counts": set(),
    "step": {"counts"},
    "layouts": {"step", "counts"},
    "serving": {"counts", "typed_inputs"},
    "training": {"layouts", "serving", "step", "counts", "card", "typed_inputs"},
    "explain": {"training", "step", "counts"},
    "lifetime": {"training", "serving", "step", "counts", "typed_inputs"},
    "fleet": {"training", "serving", "typed_inputs"},
    "budget": {"fleet", "serving", "typed_inputs"},
    "compare": {
        "lifetime",
        "fleet",
        "training",
        "serving",
        "step",
        "counts",
        "typed_inputs",
    },
    "diff": {"explain", "fleet", "training", "serving", "card", "typed_inputs"},
    "frontier": {"check", "serving", "typed_inputs"},
    "breakeven": {"budget", "fleet", "serving", "typed_inputs"},
    "check": {"training", "serving", "layouts", "step", "counts"},
    "rerun": {"card", "verbs", "show"},
}

# Within data: what a person names, its text as tokens, tokens on disk; beside the rooms, the loaders that read these.
DATA_MAY_IMPORT: dict[str, set[str]] = {
    "order": set(),
    "split": {"order"},
    "sources": set(),
    "tokenizers": {"sources", "split", "order"},
    "shards": {"tokenizers", "sources", "split", "order"},
    "loader": {"shards", "tokenizers", "order"},
    "chats": {"tokenizers"},
    "rows_packing": set(),
    "preferences": {"pairs", "chats", "tokenizers", "sources"},
    "pairs": {"chats", "rows_packing", "tokenizers", "sources", "order"},
    "metering": set(),
    "display": set(),
}

# Within train: what is trained on, how weights move, the step, what a run will take, what it leaves on disk, what each
# kind of stage brings, the run itself. The report reads a run's folder and knows nothing of training.
TRAIN_MAY_IMPORT: dict[str, set[str]] = {
    "stages": set(),
    "optimizers": set(),
    "engine": {"optimizers", "stages"},
    "forecast": {"engine", "stages"},
    "folder": {"engine", "stages"},
    "kinds": {"engine", "stages"},
    "run": {"report", "folder", "forecast", "kinds", "engine", "stages"},
    "report": set(),
}

# Within serve: room, or file beside them -> those that it may import. Read it from the bottom of the house upwards.
SERVE_MAY_IMPORT: dict[str, set[str]] = {
    "faults": set(),
    "fair_pool": set(),
    "json_body": set(),
    "token_bytes": set(),
    "wording": set(),
    "weight_cache": set(),
    "loading": {"weight_cache"},
    # what computes an answer
    "kv_cache": set(),
    "engine": {"kv_cache", "faults"},
    "grammar": {"engine", "fair_pool", "token_bytes"},
    "replicas": {"engine", "kv_cache", "grammar", "loading", "faults"},
    "offline": {"engine"},
    # who may ask, and what it costs
    "accounts": set(),
    # what the applications are made of
    "telemetry": {"accounts", "engine"},
    "http": {"telemetry", "accounts", "engine", "fair_pool", "json_body", "faults", "wording"},
    "admin": {"http", "accounts"},
    "formats": {"json_body"},
    "protocol": {"http", "formats", "grammar", "engine", "wording"},
    "pages": {"http", "accounts", "engine"},
    # the applications: neither knows the other
    "gateway": {"admin", "pages", "protocol", "http", "telemetry", "accounts", "engine", "json_body", "wording"},
    "api": {
        *("admin", "pages", "protocol", "formats", "http", "telemetry", "accounts", "replicas", "grammar", "engine"),
        *("kv_cache", "loading", "fair_pool", "json_body", "token_bytes"),
    },
}

# room -> the rules of who may import whom inside it
WITHIN = {"plan": PLAN_MAY_IMPORT, "data": DATA_MAY_IMPORT, "train": TRAIN_MAY_IMPORT, "serve": SERVE_MAY_IMPORT}

# Files of the engine that only say what goes in and comes out: all that rooms which compute nothing know of it.
ENGINE_WORDS = {"client", "request", "shares", "stats"}

WORDS_ALONE = {"grammar", "telemetry", "http", "protocol", "pages", "gateway"}

FACE = {"centime.load": "model", "centime.save": "model"}  # what the package itself offers, and whose it is

FACES = {"cli", "__init__", "__main__"}  # the package's own doors: they may name any room, inside functions

# Never imported by the product, at any depth: other people's implementations, which tests and benchmarks compare with.
PEERS = {"transformers", "torchtitan", "llama_cpp", "focus_validator", "compressed_tensors", "peft", "trl"}

WITHOUT_TORCH = {"errors", "units", "files", "charts", "catalogue", "plan", "ledger"}

TORCHES = {"torch", "triton", "tensorboard"}

# Libraries of the optional extras: importing a room must not need them, so they are imported inside functions. Only the
# folders that are nothing without their extra, and that nothing else imports at its top, may name them at theirs.
OPTIONAL = {
    "triton",
    "pynvml",
    "fastapi",
    "uvicorn",
    "prometheus_client",
    "xgrammar",
    "gguf",
    "ray",
    "holidays",
    "psycopg",
    "opentelemetry",
    "math_verify",
    "reasoning_gym",
}

BEHIND_EXTRA = tuple(
    f"centime.serve.{room}"
    for room in ("telemetry", "http", "admin", "pages", "protocol", "api", "gateway", "replicas")
)
BEHIND_EXTRA += ("centime.ops.gpu", "centime.evaluate.harness")

MOST_FILES = 15  # of one folder, its __init__ aside
