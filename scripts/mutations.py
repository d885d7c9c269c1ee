"""Small wrong changes to a Python file, drawn from its syntax tree: what a test suite should notice.

Each is one edit of the source text. Left alone: annotations, decorators, assertions, texts, code under
`if TYPE_CHECKING`, of which a change cannot be seen from outside, and zip's `strict`, which is an assertion too.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FLIPPED = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
MOVED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
# Of these the values are no behaviour of ours (a type, a text) or never run.
UNSEEN = ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal


@dataclass(frozen=True)
class Mutation:
    """One edit of a file: the bytes from `start` to `end` become `after`."""

    kind: str
    file: str
    function: str  # dotted; "" at the top of the file
    first_line: int  # of the function, decorators included, as a code object tells it; 0 at the top of the file
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """What stays the same when lines above it move: the file, the function, and the edit."""
        words = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file} {self.function}: " + " -> ".join(words)

    def apply(self, text: bytes) -> bytes:
        return text[: self.start] + self.after.encode() + text[self.end :]


def mutations(path: Path, name: str) -> list[Mutation]:
    """Every mutation of a file. name: what it is called in a report."""
    return list(_Walk(path.read_bytes(), name).at(ast.parse(path.read_bytes()), "", 0))


def drawn(found: list[Mutation], number: int, seed: str) -> list[Mutation]:
    """`number` of them: each kind in turn, and no function twice while there are others.

    The order follows from the seed and the name of each alone, so that an edit elsewhere leaves the draw as it was.
    """
    left = sorted(found, key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest())
    chosen: list[Mutation] = []
    while left and len(chosen) < number:
        kinds = [one.kind for one in chosen]
        places = [(one.file, one.function) for one in chosen]
        best = min(left, key=lambda one: (places.count((one.file, one.function)), kinds.count(one.kind)))
        left.remove(best)
        chosen.append(best)
    return chosen


class _Walk:
    def __init__(self, text: bytes, name: str) -> None:
        self.text, self.name = text, name
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def at(self, node: ast.AST, function: str, first: int) -> Iterator[Mutation]:
        if isinstance(node, UNSEEN) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
            if not isinstance(node, ast.ClassDef):
                first = min((one.lineno for one in node.decorator_list), default=node.lineno)
        for kind, changed, after in self.changes(node):
            start, end = (self.lines[row - 1] + column for row, column in self.span(changed))
            before = self.text[start:end].decode()
            if after != before:
                yield Mutation(kind, self.name, function, first, start, end, before, after)
        left = {"annotation", "returns", "decorator_list", "bases"}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip":
            left.add("keywords")
        for field, value in ast.iter_fields(node):
            if field not in left:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self.at(child, function, first)

    @staticmethod
    def span(node: ast.expr | ast.stmt) -> tuple[tuple[int, int], tuple[int, int]]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)

    def changes(self, node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
        """(kind, the node whose text changes, what it becomes) of what may go wrong in a node itself."""
        if isinstance(node, ast.AugAssign):
            yield "statement deleted", node, "pass"
        match node:
            case ast.Compare():
                for kind, table in (("comparison flipped", FLIPPED), ("boundary moved", MOVED)):
                    for i, operator in enumerate(node.ops):
                        if type(operator) in table:
                            other = copy.copy(node)
                            other.ops = [*node.ops[:i], table[type(operator)](), *node.ops[i + 1 :]]
                            yield kind, node, ast.unparse(other)
            case ast.BinOp() | ast.AugAssign() if type(node.op) in SWAPPED and not _of_text(node):
                other = copy.copy(node)
                other.op = SWAPPED[type(node.op)]()
                yield "operator swapped", node, ast.unparse(other)
            case ast.Constant(value=bool()):
                yield "constant changed", node, str(not node.value)
            case ast.Constant(value=int() | float()):
                yield (
                    "constant changed",
                    node,
                    str(node.value + 1 if isinstance(node.value, int) else node.value * 2 or 1.0),
                )
            case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, ast.Constant):
                yield "condition negated", node.test, f"not ({ast.unparse(node.test)})"
            case ast.BoolOp():
                other = copy.copy(node)
                other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield "condition negated", node, f"({ast.unparse(other)})"
            case ast.comprehension():
                yield from (("condition negated", test, f"(not ({ast.unparse(test)}))") for test in node.ifs)
            case ast.Return() if node.value is not None and ast.unparse(node.value) != "None":
                yield "return value dropped", node, "return None"
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.Break() | ast.Continue():
                yield "statement deleted", node, "pass"
            case ast.Assign() if not any(isinstance(one, ast.Name | ast.Tuple) for one in node.targets):
                yield "statement deleted", node, "pass"


def _of_text(node: ast.AST) -> bool:
    """Whether a text takes part: of two texts, + is no arithmetic."""
    return any(
        isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Constant) and isinstance(one.value, str))
        for one in ast.walk(node)
    )
