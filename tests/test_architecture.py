"""docs/architecture.md names what there is: every layer, every file, every function."""

import ast
import re
from pathlib import Path

from tests.test_layers import LAYERS, MODULES, PACKAGE

ROOT = Path(__file__).parent.parent
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
PAGE = re.sub(r"```.*?```", "", (ROOT / "docs" / "architecture.md").read_text(), flags=re.DOTALL)


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tables(text):
    """The rows of each table, as lists of cells, without its head."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[row.strip("|").split("|") for row in table.splitlines()[2:]] for table in found]


def code(text):
    return [" ".join(name.split()) for name in re.findall(r"`([^`]+)`", text)]


def is_empty(path):
    """Whether a module is nothing but its docstring."""
    return len(ast.parse(path.read_text()).body) <= 1


def definitions():
    """Functions as `name()`, methods as `Class.name()`, classes as `Class`."""
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, FUNCTIONS):
                yield f"{node.name}()"
            elif isinstance(node, ast.ClassDef):
                yield node.name
                yield from (f"{node.name}.{item.name}()" for item in node.body if isinstance(item, FUNCTIONS))


def test_the_table_of_layers_is_the_one_that_is_enforced():
    table = tables(section("The layers"))[0]
    assert {code(layer)[0]: set(code(below)) for layer, below in table} == LAYERS


def test_the_map_has_a_line_for_every_file():
    lines = [code(row[0])[0] for table in tables(section("The map")) for row in table]
    files = {str(path.relative_to(PACKAGE)) for path in MODULES if not is_empty(path)}
    assert len(lines) == len(set(lines))
    assert (files - set(lines), set(lines) - files) == (set(), set()), (
        "files without a line in the map, lines without a file"
    )


def test_every_file_that_is_named_exists():
    names = {name for name in code(PAGE) if name.endswith(".py")}
    assert {name for name in names if not (PACKAGE / name).exists() and not (ROOT / name).exists()} == set()


def test_every_function_and_class_that_is_named_exists():
    names = {name for name in code(PAGE) if name.endswith("()") or re.fullmatch("[A-Z][a-z]+[A-Za-z]*", name)}
    assert len(names) > 50
    assert names - set(definitions()) == set()
