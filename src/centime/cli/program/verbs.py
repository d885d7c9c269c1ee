"""The verbs of the command line, by name."""

# verb -> the line that `centime --help` shows; it is the function of its name in centime.cli.<verb>, or with sub-verbs
# of its own the `app` there.
VERBS = {
    "train": "Train a model from a recipe: pretrain, context extension, sft; metered to the device-second.",
    "plan": "What it will cost to train and to serve: before a cent is spent, with intervals and sources.",
    "calibrate": "Measure this machine in under a minute, so that plans for it start from what it really does.",
    "bill": "What it really cost, in the shape of Table 1 of the DeepSeek-V3 report.",
    "serve": "A model folder as an HTTP server for OpenAI, DeepSeek and Anthropic clients; a price on every answer.",
    "meter": "The price of what runs on somebody else's engine: vLLM, SGLang or llama-server, by its own counters.",
    "keys": "API keys of a server: budgets, limits, prices.",
    "budgets": "What organisations, teams, keys, users and sessions may spend, by the day, the month, for ever.",
    "users": "What the ledger knows of a user whom clients named: exported, or forgotten.",
    "catalogue": "Prices that plans and bills rest on: what is asked at an instant, and newer ones from public tables.",
    "generate": "Complete a prompt with a model folder; the cost of the answer after it.",
    "chat": "Talk to a model folder; the cost of each answer after it.",
    "data": "Prepare text into token shards; check and describe them.",
    "tokenizer": "Train a tokenizer on your text.",
    "model": "Show what a model is and costs per token, without allocating a weight.",
    "export": "Write a model folder in another format (GGUF).",
    "quantise": "A model folder with matrices of 8 or 4 bits: a half or a quarter of the memory, and faster answers.",
    "evaluate": "Bits per byte of a model on held-out files, beside gzip and xz.",
    "doctor": "What works on this machine, what is missing, and the command that mends it.",
    "quickstart": "From nothing to a small trained model, its bill and its answers, offline, in minutes.",
}

# The verbs that use a device: their process is booked from its creation on (centime.ledger.life).
METERED = {"train", "serve", "generate", "chat", "data", "tokenizer", "evaluate", "quickstart", "calibrate"}
