"""Which module of centime imports which, read from the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "centime"


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


def absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that an import statement names, relative dots resolved."""
    if node.level == 0:
        return node.module or ""
    package = ("centime", *path.relative_to(SOURCE).parent.parts)
    return ".".join((*package[: len(package) - node.level + 1], *((node.module,) if node.module else ())))


def module(path: Path) -> str:
    """'ops.norm' for ops/norm.py, 'ops' for ops/__init__.py, 'centime' for the package's own __init__."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip(".") or "centime"


@functools.cache
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
