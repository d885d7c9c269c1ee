"""Names: one class name has one meaning in the whole house."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.import_graph import SOURCE


def test_no_class_name_stands_twice() -> None:
    places = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file.relative_to(SOURCE).as_posix())
    assert len(places) > 400
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
