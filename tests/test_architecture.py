"""docs/architecture.md names what there is: every layer, every folder, and files and functions that exist."""

import ast
import re
from pathlib import Path

import pytest

from tests.sources import MODULES, PACKAGE, nodes, parsed, text
from tests.test_layers import LAYERS

ROOT = Path(__file__).parent.parent
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
PAGE = re.sub(r"```.*?```", "", (ROOT / "docs" / "architecture.md").read_text(), flags=re.DOTALL)


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tables(page):
    """Return the rows of each table, as lists of cells, without its head."""
    found = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    return [[row.strip("|").split("|") for row in table.splitlines()[2:]] for table in found]


def code(page):
    return [" ".join(name.split()) for name in re.findall(r"`([^`]+)`", page)]


def definitions():
    """Return the definitions: functions as `name()`, methods as `Class.name()`, classes as `Class`."""
    for path in MODULES:
        for node in parsed(path).body:
            if isinstance(node, FUNCTIONS):
                yield f"{node.name}()"
            elif isinstance(node, ast.ClassDef):
                yield node.name
                yield from (f"{node.name}.{item.name}()" for item in node.body if isinstance(item, FUNCTIONS))


def test_documented_table_of_layers_equals_the_enforced_one():
    table = tables(section("Layers"))[0]
    assert {code(layer)[0]: set(code(below)) for layer, below in table} == LAYERS


def test_architecture_page_has_a_row_for_every_folder():
    rows = [code(row[0])[0].rstrip("/") for table in tables(section("Folders")) for row in table]
    folders = {str(path.parent.relative_to(PACKAGE)) for path in MODULES}
    assert len(rows) == len(set(rows))
    assert set(rows) == (folders - {"."}) | {"amqpbroker", "management/static"}


#: A first line that begins with one of these is a question, or continues the name of the file.
NO_SUBJECT = {"Have", "How", "Let", "Of", "That", "Those", "What", "Where", "Whether", "Which", "Who", "Whose", "With"}


def first_line_fault(first):
    """Return why the first line of a file does not say what the file is for, "" if it does."""
    text = re.fullmatch(r'r?"""(\S.*?)(?:""")?', first)
    if text is None:
        return "is no docstring"
    if text[1].split()[0] in NO_SUBJECT:
        return "has no subject"
    if len(text[1].split()) == 1:
        return "is one word"
    return "" if text[1].endswith((".", ":")) else "ends within a sentence"


def test_the_first_line_of_each_file_states_its_purpose():
    found = {str(path.relative_to(PACKAGE)): first_line_fault(text(path).partition("\n")[0]) for path in MODULES}
    assert {name: fault for name, fault in found.items() if fault} == {}


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        ('"""Times as the API writes them."""', ""),
        ('r"""Times as the API writes them.', ""),
        ('"""Moments."""', "is one word"),
        ('"""What is there."""', "has no subject"),
        ('"""Times as the API writes them, which', "ends within a sentence"),
        ("import re", "is no docstring"),
    ],
)
def test_an_unclear_first_line_is_found(first, fault):
    assert first_line_fault(first) == fault


def test_architecture_page_lists_files_of_at_least_30_features():
    features = [row for table in tables(section("Files by feature")) for row in table]
    assert len(features) >= 30
    assert [row for row in features if not code(row[1])] == []


def test_every_file_named_on_the_architecture_page_exists():
    names = {name for name in code(PAGE) if name.endswith(".py")}
    assert {name for name in names if not (PACKAGE / name).exists() and not (ROOT / name).exists()} == set()


def test_every_function_and_class_on_the_architecture_page_exists():
    names = {name for name in code(PAGE) if name.endswith("()") or re.fullmatch("[A-Z][a-z]+[A-Za-z]*", name)}
    assert len(names) > 50
    assert names - set(definitions()) == set()


def test_the_glossary_is_short_and_names_existing_things():
    page = (ROOT / "CONTRIBUTING.md").read_text().split("\n## Words of this project\n")[1].split("\n## ")[0]
    rows = tables(page)[0]
    assert 0 < len(rows) <= 35
    classes = {name for _, meaning in rows for name in code(meaning) if re.fullmatch("[A-Z][A-Za-z]+", name)}
    assert classes - set(definitions()) == set()


#: Fields of other objects that modules of `amqp` write. All are records of `broker` and `message` without methods for
#: that, or are written for each delivery and publish, so that a call would cost too much.
RECORDS = {
    "entry": {"consumer"},
    "message": {"persistent", "priority"},
}


def written(tree):
    """Yield the targets of all assignments, augmented ones and deletions too."""
    for node in nodes(tree):
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
            targets = [node.target]
        elif isinstance(node, ast.With):
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
        else:
            continue
        for target in targets:
            yield from (
                each for each in ast.walk(target) if isinstance(getattr(each, "ctx", None), ast.Store | ast.Del)
            )


def foreign(module):
    """Return the fields of objects other than `self` that a module writes, as "object.field"."""
    names = [ast.unparse(target) for target in written(module) if isinstance(target, ast.Attribute)]
    return [name.removeprefix("self.") for name in names if not re.fullmatch(r"self\.\w+", name)]


def is_record(name):
    owner, _, field = name.rpartition(".")
    return any((owner == record or owner.endswith(f".{record}")) and field in RECORDS[record] for record in RECORDS)


def test_no_module_of_amqp_writes_a_field_of_another_object():
    found = {str(path.relative_to(PACKAGE)): foreign(parsed(path)) for path in (PACKAGE / "amqp").rglob("*.py")}
    faults = [f"{path}: {name}" for path, names in sorted(found.items()) for name in names if not is_record(name)]
    assert not faults, f"{len(faults)} writes of fields of other objects"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("self.a = self.b = 1", []),
        ("connection.running = False", ["connection.running"]),
        ("a, connection.running = 1, False", ["connection.running"]),
        ("self.output.room -= 1", ["output.room"]),
        ("publishing.repeat = self.repeat = None", ["publishing.repeat"]),
        ("del publishing.content", ["publishing.content"]),
        ("for publishing.content in []: pass", ["publishing.content"]),
        ("unacked.entries[1] = entry", []),
    ],
)
def test_writes_of_fields_of_other_objects_are_found(source, names):
    assert foreign(ast.parse(source)) == names


QUEUES = PACKAGE / "broker" / "queues"

#: Module of `broker/queues` -> fields of other objects that it writes.
WRITTEN = {
    # The queue's notes about a consumer, which are in the consumer because every message reads them.
    "consumers.py": {"consumer.started", "consumer.registered", "consumer.ringed", "each.ringed"},
    "outstanding.py": {"consumer.unacked", "former.unacked", "entry.delivered_ms"},
}


def foreign_writes(function):
    """Return the fields of other objects that a function assigns to, unless it has created the object itself."""
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
    return (node for node in nodes(parsed(path)) if isinstance(node, FUNCTIONS))


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
