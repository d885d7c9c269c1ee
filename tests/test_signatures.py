"""No function takes more than seven parameters: what goes together is an object with a name."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.import_graph import SOURCE, files, tree

MOST = 7  # `self` and `cls` aside
# Those that still take more, by file and name: mend one and take it out. Nothing comes in.
KNOWN: set[str] = set()


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    taken = [each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(taken) - (taken[:1] in (["self"], ["cls"]))


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether Triton compiles it: a kernel takes pointers, sizes and strides, one by one."""
    return any(ast.unparse(decorator) == "triton.jit" for decorator in function.decorator_list)


def is_verb(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether typer reads its options from the signature: each of them is a parameter."""
    if path.is_relative_to(SOURCE / "cli") and function.name == path.stem:
        return True
    return any("command" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_no_function_takes_more_than_seven_parameters() -> None:
    found = {
        f"{path.relative_to(SOURCE).as_posix()} {node.name}"
        for path in files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and parameters(node) > MOST
        and not is_verb(path, node)
        and not is_kernel(node)
    }
    assert found - KNOWN == set(), "give what goes together a name: an object in place of its parts"
    assert KNOWN - found == set(), "mended: take it out of KNOWN"
