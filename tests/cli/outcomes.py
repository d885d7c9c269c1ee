"""Which bad values no verb may take for right: what a cell must end in, where it is not free to be either."""

from __future__ import annotations

_NO_NUMBER = {"nothing", "word", "nan", "inf", "-inf", "1e999", "5000 digits"}
_NOTHING_TO_READ = {
    *(
        "nothing",
        "missing",
        "a device",
        "under a file",
        "long",
        "empty",
        "folder",
        "pipe",
        "dangling",
        "loop",
        "closed",
    ),
    "unreadable",
}
_NO_CONTENT = {"emptied", "zeros", "nested", "nested and closed", "noise", "UTF-16", "not UTF-8", "other JSON"}
_GONE = {"pipe", "dangling", "unreadable", "gone"}

# role -> the kinds that are refused by every verb
REFUSED: dict[str, set[str]] = {
    **dict.fromkeys(("whole", "real", "seed", "quantity", "duration", "money", "budget"), _NO_NUMBER),
    "date": {"nothing", "word", "no such day", "year 0", "year 99999"},
    "word": {"nothing", "unknown", "long"},
    **dict.fromkeys(
        ("recipe", "case", "scenario", "card", "runs", "statement", "hardware", "trace", "company"),
        _NOTHING_TO_READ | _NO_CONTENT,
    ),
    **dict.fromkeys(("model", "tokenizer", "data"), _NOTHING_TO_READ),
    "text": _NOTHING_TO_READ,
    "out file": {"nothing", "under a file", "read-only", "closed", "loop", "long", "full disk", "a folder"},
    "out folder": {
        "nothing",
        "under a file",
        "read-only",
        "closed",
        "loop",
        "long",
        "full disk",
        "a file",
        "not empty",
    },
}
# role -> the files of its folder that every verb reads, so that none may take spoilt ones for right
READ = {"model": ("config.json",), "tokenizer": ("tokenizer.json",)}
COMPUTING = {"generate", "chat", "serve", "export", "evaluate"}  # these read the weights too


def must_be_refused(verb: str, role: str, kind: str) -> bool:
    """Whether a verb that ends well with an argument of this kind has taken nonsense for right."""
    if (verb, kind) == ("train", "not empty"):  # a run stands beside what it does not write over
        return False
    if kind in REFUSED.get(role, ()):
        return True
    member, _, damage = kind.partition(" ")
    if damage not in _NO_CONTENT | _GONE | {"cut short"}:
        return False
    return member in READ.get(role, ()) or (role == "model" and verb in COMPUTING and member == "model.safetensors")
