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


QUEUES = PACKAGE / "broker" / "queues"

#: Module of `broker/queues` -> fields of other objects that it writes.
WRITTEN = {
    # The queue's notes about a consumer, kept in the consumer because every message reads them.
    "consumers.py": {"consumer.started", "consumer.registered", "consumer.ringed", "each.ringed"},
    "outstanding.py": {"consumer.unacked", "former.unacked"},
    # Records without methods of their own: a pager's pages, a spill's segments.
    "paging.py": {"page.entries", "page.positions", "page.sequences", "page.spilled"},
    "spill.py": {"segment.live", "segment.size"},
}


def foreign_writes(function):
    """The fields of other objects that a function assigns to, unless it has made the object itself."""
    made = {"self", "cls"}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            maker = node.value.func
            if getattr(maker, "id", "")[:1].isupper() or getattr(maker, "attr", "") == "rewritten":
                made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
            continue
        if not (isinstance(node.value, ast.Name) and node.value.id in made):
            yield ast.unparse(node)


def functions(path):
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS))


def test_no_part_of_a_queue_writes_fields_of_another():
    written = {
        path.name: {field for function in functions(path) for field in foreign_writes(function)}
        for path in QUEUES.glob("*.py")
    }
    assert {name: fields for name, fields in written.items() if fields} == WRITTEN


def test_a_write_to_another_object_is_found():
    source = """def f(self, queue):
    self.count += 1
    made = Entry(queue)
    made.position = 1
    queue.count, self.size = 1, 2
    self.tally.left += 1
    del queue.limit.shut"""
    found = foreign_writes(ast.parse(source).body[0])
    assert sorted(found) == ["queue.count", "queue.limit.shut", "self.tally.left"]


def test_messages_leave_the_store_of_a_queue_in_one_place():
    settling = {
        (path.name, function.name)
        for path in QUEUES.glob("*.py")
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr in ("settle", "settle_positions")
        if "store" in ast.unparse(node.value)
    }
    assert settling == {("ledger.py", "leave"), ("ledger.py", "leave_stored")}
