"""The structure of the store's code: field writes between its objects, and sizes of files."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.sources import PACKAGE, is_self, last_name, nodes, parsed, text

STORE = PACKAGE / "store"

#: Objects of the layer below that the store creates and completes, by their names in the store.
MESSAGES = {"copy", "message"}

#: Names of the store's objects in other layers, and of parts of these names.
STORES = (
    "store",
    "persistence",
    "writer",
    "journal",
    "log",
    "definitions",
    "committer",
    "living",
    "gathering",
    "found",
)

#: Files with fewer lines than this have to be one of `SMALL`.
LINES = 30

#: Reason for which a file is small: the face of a package, or the seam to an optional library.
SMALL = {"__init__.py": "face", "checksum.py": "seam"}


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        yield path, parsed(path)


def written(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield the attributes that are assigned or deleted."""
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node


def fields(root: Path) -> set[str]:
    """Return the names of the fields that objects of classes there set on themselves."""
    found = set()
    for _, tree in modules(root):
        for node in nodes(tree):
            if isinstance(node, ast.ClassDef):
                found |= {one.attr for one in written(node) if is_self(one.value)}
    return found


def foreign_writes(root: Path) -> list[str]:
    """Return the places where other objects write fields of the store's objects."""
    of_store = fields(STORE)
    elsewhere = set().union(*(fields(path) for path in root.iterdir() if path.is_dir() and path != STORE))
    found = []
    for path, tree in modules(root):
        within = path.is_relative_to(STORE)
        for one in written(tree):
            owner = last_name(one.value)
            if owner == "self" or (within and owner in MESSAGES):
                continue
            known = one.attr in of_store and one.attr not in elsewhere
            if within or known or any(name in owner.lower() for name in STORES):
                found.append(f"{path.relative_to(root)}:{one.lineno}: {ast.unparse(one)}")
    return found


def test_fields_of_the_store_are_written_only_by_their_objects():
    assert foreign_writes(PACKAGE) == []


def test_a_write_of_another_objects_field_is_found(tmp_path):
    (tmp_path / "server").mkdir()
    app = tmp_path / "server" / "app.py"
    app.write_text("self._store.writer.on_stuck = 1\nself._store.synced += 1\nkept._on_synced = f\nself.x = 2\n")
    assert [line.split(": ")[1] for line in foreign_writes(tmp_path)] == [
        "self._store.writer.on_stuck",
        "self._store.synced",
        "kept._on_synced",
    ]


def test_no_file_of_the_store_is_tiny():
    small = {str(path.relative_to(STORE)) for path, _ in modules(STORE) if len(text(path).splitlines()) < LINES} - {
        "__init__.py"
    }
    assert {name for name in small if SMALL.get(name, SMALL.get(Path(name).name)) is None} == set()
    assert {name for name in SMALL if "/" in name} <= small
