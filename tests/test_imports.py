"""Who may import whom: the rules that keep the rooms apart, read from the source and checked again at run time.

The planner's side (catalogue, plan, ledger) never touches torch, the operations and the model know nothing of what is
above them, and the verbs import lazily. A file that breaks a rule is named with the line that does it.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.import_graph import SOURCE, circles, files, import_graph, imports, module, room
from tests.import_rules import (
    BEHIND_EXTRA,
    ENGINE_WORDS,
    FACE,
    FACES,
    MAY_IMPORT,
    MOST_FILES,
    OPTIONAL,
    PEERS,
    TORCHES,
    WITHIN,
    WITHOUT_TORCH,
    WORDS_ALONE,
)


def needs_extra(path: Path, module: str) -> bool:
    """Whether a file that imports this at its top would need an extra, and is none that may."""
    inside = f"centime.{'.'.join(path.relative_to(SOURCE).parts)}"
    if any(inside.startswith(f"{folder}.") for folder in BEHIND_EXTRA):
        return False
    return module.partition(".")[0] in OPTIONAL or module.startswith(BEHIND_EXTRA)


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
