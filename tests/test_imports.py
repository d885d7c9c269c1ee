"""Who may import whom: the rules that keep the rooms apart, read from the source and checked again at run time.

The planner's side (catalogue, plan, ledger) never touches torch, the operations and the model know nothing of what is
above them, and the verbs import lazily. A file that breaks a rule is named with the line that does it.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "centime"

# room -> the parts of centime it may import, besides itself. WORDS are shared by all.
WORDS = {
    *("children", "csv_files", "errors", "files", "input_files", "installation", "json_files", "messages", "units"),
    "version",
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "children": set(),
    "csv_files": {"errors"},
    "units": {"errors"},
    "messages": {"units"},
    "json_files": {"errors"},
    "files": {"errors", "json_files", "units", "version"},
    "input_files": {"errors"},
    "charts": {"version"},
    "installation": {"errors"},
    "version": set(),
    "ops": set(),
    "catalogue": WORDS,
    "plan": {"catalogue", "charts", *WORDS},
    "ledger": {"catalogue", *WORDS},
    "model": {"ops", "catalogue", "plan", *WORDS},
    "data": {"catalogue", "ledger", *WORDS},
    "recipe": {"catalogue", *WORDS},
    "train": {"catalogue", "charts", "data", "ledger", "model", "ops", "plan", "recipe", "serve", *WORDS},
    "evaluate": {"catalogue", "data", "ledger", "model", "ops", "plan", "serve", *WORDS},
    "serve": {"catalogue", "charts", "data", "ledger", "model", "ops", "plan", *WORDS},
    "doctor": {"catalogue", "ledger", *WORDS},
    "calibrate": {"catalogue", "ledger", "model", "ops", "plan", "recipe", "train", *WORDS},
    "quickstart": {"catalogue", "data", "evaluate", "ledger", "model", "plan", "recipe", "serve", "train", *WORDS},
}
# Within plan: room -> the rooms, and the files beside them, that it may import. What computes stands above what it is
# built on, each verb's room above those that it asks; reports alone say how a plan is shown.
PLAN_MAY_IMPORT: dict[str, set[str]] = {
    "typed_inputs": set(),
    "catalogue_notes": set(),
    "show": set(),
    "verbs": {"show"},
    "card": {"verbs"},
    "counts": set(),
    "step": {"counts"},
    "layouts": {"step", "counts"},
    "serving": {"counts", "catalogue_notes", "typed_inputs"},
    "training": {"layouts", "serving", "step", "counts", "card", "catalogue_notes", "typed_inputs"},
    "explain": {"training", "step", "counts", "catalogue_notes"},
    "lifetime": {"training", "serving", "step", "counts", "catalogue_notes", "typed_inputs"},
    "fleet": {"training", "serving", "catalogue_notes", "typed_inputs"},
    "budget": {"fleet", "serving", "typed_inputs"},
    "compare": {
        "lifetime",
        "fleet",
        "training",
        "serving",
        "step",
        "counts",
        "catalogue_notes",
        "typed_inputs",
    },
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
    "pairs": {"tokenizers", "sources", "order"},
    "metering": set(),
    "display": set(),
}
# Within train: what is trained on, the step, what a run will take, what it leaves on disk, the run itself. The report
# reads a run's folder and knows nothing of training.
TRAIN_MAY_IMPORT: dict[str, set[str]] = {
    "stages": set(),
    "engine": {"stages"},
    "forecast": {"engine", "stages"},
    "folder": {"engine", "stages"},
    "run": {"report", "folder", "forecast", "engine", "stages"},
    "report": set(),
}
# Within serve: room, or file beside them -> those that it may import. Read it from the bottom of the house upwards.
SERVE_MAY_IMPORT: dict[str, set[str]] = {
    "faults": set(),
    "threads": set(),
    "fair_pool": set(),
    "json_body": set(),
    "token_bytes": set(),
    "loading": {"threads"},
    # what computes an answer
    "kv_cache": {"threads"},
    "engine": {"kv_cache", "faults"},
    "grammar": {"engine", "token_bytes"},
    "replicas": {"engine", "kv_cache", "grammar", "loading", "faults"},
    "offline": {"engine"},
    # who may ask, and what it costs
    "accounts": set(),
    # what the applications are made of
    "http": {"accounts", "engine", "fair_pool", "json_body", "faults"},
    "formats": {"json_body"},
    "protocol": {"http", "formats", "grammar", "engine"},
    "pages": {"http", "accounts", "engine"},
    # the applications: neither knows the other
    "gateway": {"pages", "protocol", "http", "accounts", "engine", "json_body"},
    "api": {
        *("pages", "protocol", "formats", "http", "accounts", "replicas", "grammar", "engine", "kv_cache"),
        *("loading", "fair_pool", "json_body", "token_bytes"),
    },
}
# room -> the rules of who may import whom inside it
WITHIN = {"plan": PLAN_MAY_IMPORT, "data": DATA_MAY_IMPORT, "train": TRAIN_MAY_IMPORT, "serve": SERVE_MAY_IMPORT}
# Files of the engine that only say what goes in and comes out: all that rooms which compute nothing know of it.
ENGINE_WORDS = {"client", "request", "shares", "stats"}
WORDS_ALONE = {"grammar", "http", "protocol", "pages", "gateway"}
FACE = {"centime.load": "model", "centime.save": "model"}  # what the package itself offers, and whose it is
FACES = {"cli", "__init__", "__main__"}  # the package's own doors: they may name any room, inside functions

# Never imported by the product, at any depth: other people's implementations, which tests and benchmarks compare with.
PEERS = {"transformers", "torchtitan", "llama_cpp", "focus_validator"}
WITHOUT_TORCH = {"errors", "units", "files", "charts", "catalogue", "plan", "ledger"}
TORCHES = {"torch", "triton", "tensorboard"}
# The rooms that load torch or arrow when imported.
HEAVY = {"model", "ops", "train", "serve", "evaluate", "data", "calibrate"}
# Libraries of the optional extras: importing a room must not need them, so they are imported inside functions. Only the
# folders that are nothing without their extra, and that nothing else imports at its top, may name them at theirs.
OPTIONAL = {"triton", "pynvml", "fastapi", "uvicorn", "prometheus_client", "xgrammar", "gguf", "ray"}
BEHIND_EXTRA = tuple(f"centime.serve.{room}" for room in ("http", "pages", "protocol", "api", "gateway", "replicas"))


MOST_FILES = 15  # of one folder, its __init__ aside


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """'ops' for ops/norm.py and for ops/__init__.py, 'recipe' for recipe.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import of a file; those under `if TYPE_CHECKING` are types, not dependencies."""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            # `from centime import ledger` names the room in the alias, `from centime.ledger import Book` in the module
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(tree(path))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def needs_extra(path: Path, module: str) -> bool:
    """Whether a file that imports this at its top would need an extra, and is none that may."""
    inside = f"centime.{'.'.join(path.relative_to(SOURCE).parts)}"
    if any(inside.startswith(f"{folder}.") for folder in BEHIND_EXTRA):
        return False
    return module.partition(".")[0] in OPTIONAL or module.startswith(BEHIND_EXTRA)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that an import statement names, relative dots resolved."""
    if node.level == 0:
        return node.module or ""
    package = ("centime", *path.relative_to(SOURCE).parent.parts)
    return ".".join((*package[: len(package) - node.level + 1], *((node.module,) if node.module else ())))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(SOURCE.parent)}:{line}"


def test_every_room_has_a_rule() -> None:
    rooms = {room(path) for path in files()}
    assert rooms - FACES <= MAY_IMPORT.keys(), "a new room: say in MAY_IMPORT what it may import"


def test_rooms_import_only_what_they_may() -> None:
    broken = [
        f"{where(path, line)} imports {module}"
        for path in files()
        if room(path) not in FACES
        for line, module in imports(path)
        if module.split(".")[0] == "centime"
        and module not in {"centime", "centime.__version__"}
        and FACE.get(module, module.split(".")[1]) not in {room(path), *MAY_IMPORT.get(room(path), set())}
    ]
    assert broken == []


def test_planner_and_ledger_never_name_torch() -> None:
    broken = [
        f"{where(path, line)} imports {module}"
        for path in files()
        if room(path) in WITHOUT_TORCH
        for line, module in imports(path)
        if module.split(".")[0] in TORCHES
    ]
    assert broken == []


def test_the_product_never_imports_its_peers() -> None:
    broken = [
        f"{where(path, line)} imports {module}"
        for path in files()
        for line, module in imports(path)
        if module.split(".")[0] in PEERS
    ]
    assert broken == []


def test_optional_libraries_and_verbs_are_imported_inside_functions() -> None:
    broken = [
        f"{where(path, line)} imports {module}"
        for path in files()
        for line, module in imports(path, top_level_only=True)
        if needs_extra(path, module)
        or (room(path) == "cli" and module.split(".")[0] in {"torch", "numpy", "pyarrow", "tokenizers"})
        or (room(path) == "cli" and heavy(module))
    ]
    assert broken == []


def heavy(module: str) -> bool:
    """Whether a verb would wait for torch by importing this module of ours at its top."""
    parts = module.split(".")
    return (
        parts[0] == "centime" and len(parts) > 1 and parts[1] in {"model", "ops", "train", "serve", "evaluate", "data"}
    )


def test_model_files_know_nothing_of_ranks() -> None:
    """Parallelism is applied from outside (train/): no file in model/ or ops/ imports torch.distributed."""
    broken = [
        f"{where(path, line)} imports {module}"
        for path in files()
        if room(path) in {"model", "ops"}
        for line, module in imports(path)
        if module.startswith("torch.distributed")
    ]
    assert broken == []


def module(path: Path) -> str:
    """'ops.norm' for ops/norm.py, 'ops' for ops/__init__.py, 'centime' for the package's own __init__."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip(".") or "centime"


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports anywhere in its text. `from centime.plan import card` is an edge to
    plan.card where there is such a file, and to the `__init__` of plan otherwise."""
    modules = {module(path) for path in files()}
    edges: dict[str, set[str]] = {name: set() for name in modules}
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                named = [(alias.name, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = absolute(path, node)
                named = [(f"{base}.{alias.name}", base) for alias in node.names]
            else:
                continue
            for candidates in named:
                ours = [name.removeprefix("centime.") for name in candidates if name.split(".")[0] == "centime"]
                edges[module(path)].update([name for name in ours if name in modules][:1])
        edges[module(path)].discard(module(path))
    return edges


def circles(edges: dict[str, set[str]]) -> set[str]:
    """The strongly connected components of more than one module, each as its names in order (Tarjan, 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: set[str] = set()

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        path.append(name)
        for target in sorted(edges[name]):
            if target not in order:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in path:
                lowest[name] = min(lowest[name], order[target])
        if lowest[name] == order[name]:
            at = path.index(name)
            if len(path) - at > 1:
                found.add(" ".join(sorted(path[at:])))
            del path[at:]

    for name in sorted(edges):
        if name not in order:
            visit(name)
    return found


def test_a_circle_is_seen_whatever_leads_into_it() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": {"d"}, "e": {"a", "f"}, "f": {"e"}}) == {"b c", "e f"}


def test_no_files_import_each_other() -> None:
    """Every import counts: those inside functions and under TYPE_CHECKING too."""
    found = sorted(circles(import_graph()))
    assert found == [], "files that import each other, directly or through others: move what both need below them"


def part(name: str) -> tuple[str, str]:
    """('plan', 'step') for plan.step.times, ('plan', 'card') for plan.card, ('plan', '') for its __init__."""
    room, _, rest = name.partition(".")
    return room, rest.partition(".")[0]


def plan_room(name: str) -> str:
    """'step' for plan.step.times, 'card' for plan.card, '' for what is not plan's."""
    room, inside = part(name)
    return inside if room == "plan" else ""


def is_report(name: str) -> bool:
    """Whether a file of plan says how a plan is shown: plan.training.report, plan.training.layout_report."""
    return name.endswith("report")


@pytest.mark.parametrize("name", WITHIN)
def test_every_part_of_a_room_has_a_rule(name: str) -> None:
    parts = {part(module(path)) for path in files()}
    assert {inside for room, inside in parts if room == name} - {""} == WITHIN[name].keys()


@pytest.mark.parametrize("name", WITHIN)
def test_parts_of_a_room_import_only_what_they_may(name: str) -> None:
    """Those under TYPE_CHECKING too. A room's own __init__ is its face, and no part of it looks into that."""
    broken = []
    for importing, targets in import_graph().items():
        room, inside = part(importing)
        if room != name or not inside:
            continue
        may = {inside} | WITHIN[name][inside] | ({"show"} if name == "plan" and is_report(importing) else set())
        broken += [
            f"{importing} imports {target}"
            for target in targets
            if part(target)[0] == name and part(target)[1] not in may
        ]
    assert sorted(broken) == []


def test_nothing_but_a_report_imports_a_report() -> None:
    """The table of verbs names them; what computes a plan knows nothing of how it is shown."""
    edges = import_graph().items()
    assert [
        f"{a} imports {b}" for a, of in edges for b in of if plan_room(b) and is_report(b) and not is_report(a)
    ] == []


def test_a_room_has_at_most_fifteen_files() -> None:
    held = Counter(path.parent.relative_to(SOURCE).as_posix() for path in files() if path.name != "__init__.py")
    assert {folder: n for folder, n in held.items() if n > MOST_FILES} == {}


def modules_of(*rooms: str) -> list[str]:
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in files()
        if room(path) in rooms
    ]
    assert names, f"no module in {rooms}"
    return names


def test_rooms_of_serve_that_compute_nothing_know_the_words_of_the_engine_alone() -> None:
    broken = [
        f"{name} imports {target}"
        for name, targets in import_graph().items()
        for target in targets
        if part(name)[0] == "serve" and part(name)[1] in WORDS_ALONE and part(target) == ("serve", "engine")
        if target.split(".")[2] not in ENGINE_WORDS
    ]
    assert sorted(broken) == []


def test_no_module_of_serve_is_called_like_another() -> None:
    """But app.py and command.py, which each of the two applications has."""
    names = [path.stem for path in files() if room(path) == "serve" and path.stem != "__init__"]
    assert sorted(name for name in {*names} if names.count(name) > 1) == ["app", "command"]


@pytest.mark.parametrize("name", ["charts", "catalogue", "plan", "ledger"])
def test_importing_a_room_of_the_planner_brings_no_torch(name: str) -> None:
    """At run time too, and for every module of the room: what a library brings along counts."""
    program = (
        f"import sys\nfor name in {modules_of(name)!r}:\n    __import__(name)\n"
        f"print([n for n in {sorted(TORCHES | PEERS)!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_importing_the_gateway_brings_no_torch() -> None:
    program = "import sys, centime.serve.gateway.command\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_importing_everything_brings_no_peer_and_no_extra() -> None:
    """`import centime` and every room of it works with the plain dependencies, on any machine."""
    everything = [name for name in modules_of(*MAY_IMPORT, "cli") if not name.endswith("__main__")]
    everything = [name for name in everything if not name.startswith(BEHIND_EXTRA)]
    blocked = sorted(PEERS | OPTIONAL)
    program = (
        "import sys\n"
        f"for name in {blocked!r}:\n    sys.modules[name] = None\n"  # an import of it raises ImportError from here on
        f"for name in {everything!r}:\n    __import__(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
