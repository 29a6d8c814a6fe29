"""The state of the architecture on one page: `python -m tests.layers`.

It prints the layers and their folders with the imports allowed to them, the import cycles, and counts of patterns that
should become rarer, before the work on them and today. Nearly all counts are functions of a parsed module.
"""

import ast
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.sources import MODULES, PACKAGE, is_self, last_name, nodes, parsed, text
from tests.test_calls import Persistent
from tests.test_layers import FOLDERS, LAYERS, NOT_YET, circles, imported, layer_of
from tests.test_mirror import COVERED

#: Objects that always exist, even if only as an implementation that stores nothing.
ABSENT = {"log", "store", "journal", "spill"}
STORES = {"Store", "MemoryStore", "Persistence"}
#: Number of cycles that are shown, and of names of a longer cycle.
SHOWN, NAMES = 5, 8


def compares(tree: ast.AST) -> Iterator[ast.Compare]:
    return (node for node in nodes(tree) if isinstance(node, ast.Compare))


def asks_for_store(tree: ast.AST) -> int:
    """Count isinstance() of a class of the store."""
    calls = [node for node in nodes(tree) if isinstance(node, ast.Call) and names_in(node.func) == {"isinstance"}]
    return sum(any(name in STORES for name in names_in(call.args[1])) for call in calls)


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def asks_whether_there(tree: ast.AST) -> int:
    """Count `log is None` and `log is not None`, also of a store, a journal or a spill, and of such attributes."""
    return sum(
        ast.unparse(node.left).rpartition(".")[2].lstrip("_") in ABSENT and ast.unparse(node.comparators[0]) == "None"
        for node in compares(tree)
    )


def asks_for_quorum(tree: ast.AST) -> int:
    """Count comparisons with "quorum", and attributes `quorum` that are read."""
    values = [value for node in compares(tree) for value in ast.walk(node) if isinstance(value, ast.Constant)]
    read = [node for node in nodes(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)]
    return sum(value.value == "quorum" for value in values) + sum(node.attr == "quorum" for node in read)


def foreign_writes(tree: ast.AST) -> int:
    """Count assignments to a field of another object than `self`."""
    targets = [
        target
        for node in nodes(tree)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for written in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in (written.elts if isinstance(written, ast.Tuple) else [written])
    ]
    return sum(isinstance(target, ast.Attribute) and not is_self(target.value) for target in targets)


def writes_connection(tree: ast.AST) -> int:
    """Count writes of fields of `connection`, also of an attribute of that name."""
    found = [node for node in nodes(tree) if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)]
    return sum(ast.unparse(node.value).rpartition(".")[2].lstrip("_") == "connection" for node in found)


def writes_argument(tree: ast.AST) -> int:
    """Count functions outside of classes that assign to fields of an argument."""
    functions = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.FunctionDef)]
    return sum(foreign_writes(function) > 0 for function in functions)


def asks_whether_heard(tree: ast.AST) -> int:
    """Count reads of `events.heard`."""
    found = [node for node in nodes(tree) if isinstance(node, ast.Attribute) and node.attr == "heard"]
    return sum(last_name(node.value) == "events" for node in found)


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in nodes(tree) if isinstance(node, ast.FunctionDef)]


def settles(tree: ast.AST) -> int:
    """Count functions that settle copies in a store."""
    return sum(
        isinstance(node, ast.Attribute)
        and node.attr in ("settle", "settle_positions")
        and "store" in ast.unparse(node.value)
        for function in functions(tree)
        for node in ast.walk(function)
    )


def counts_unacked(tree: ast.AST) -> int:
    """Count additions to a field named like a number of unacknowledged messages."""
    targets = [node.target for node in nodes(tree) if isinstance(node, ast.AugAssign)]
    return sum(isinstance(target, ast.Attribute) and "unacked" in target.attr for target in targets)


def cuts_frames(tree: ast.AST) -> int:
    """Count comparisons with the end byte of a frame."""
    compared = [value for node in compares(tree) for value in (node.left, *node.comparators)]
    called = [
        node for node in nodes(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("endswith")
    ]
    return sum(is_frame_end(value) for value in (*compared, *(value for node in called for value in node.args)))


def is_frame_end(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value in (0xCE, b"\xce")
    return ast.unparse(node).rpartition(".")[2] in ("END", "_END", "_FRAME_END")


def sends_start_ok(tree: ast.AST) -> int:
    """Count calls that encode connection.start-ok."""
    given = [value for node in nodes(tree) if isinstance(node, ast.Call) for value in node.args]
    return sum(isinstance(value, ast.Constant) and value.value == "connection.start-ok" for value in given)


def methods(tree: ast.AST, name: str) -> list[ast.FunctionDef]:
    """Return the methods of a class."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    return [item for node in found for item in node.body if isinstance(item, ast.FunctionDef)]


def fields(tree: ast.AST, name: str) -> set[str]:
    """Return the fields that a class sets in `__init__`."""
    made = [method for method in methods(tree, name) if method.name == "__init__"]
    nodes = [node for method in made for node in ast.walk(method) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if isinstance(node.ctx, ast.Store) and is_self(node.value)}


def abstract(tree: ast.AST, name: str) -> int:
    """Count the abstract methods of a class."""
    decorators = [ast.unparse(one) for method in methods(tree, name) for one in method.decorator_list]
    return decorators.count("abstractmethod")


def below(folder: str) -> list[Path]:
    return [path for path in MODULES if str(path.relative_to(PACKAGE)).startswith(folder)]


def except_below(folder: str) -> list[Path]:
    left_out = set(below(folder))
    return [path for path in MODULES if path not in left_out]


def total(count: Callable[[ast.AST], int], paths: list[Path]) -> str:
    """Return the sum over the modules, and the number of modules with a count above 0."""
    found = [number for path in paths if (number := count(parsed(path)))]
    return f"{sum(found)} in {len(found)} files" if found else "0"


def total_files(count: Callable[[ast.AST], int], paths: list[Path]) -> int:
    """Return the number of modules with a count above 0."""
    return sum(count(parsed(path)) > 0 for path in paths)


def holding(text: str, folder: str) -> list[Path]:
    """Return the modules in the folder that have a string."""
    return [
        path
        for path in below(folder)
        if any(isinstance(node, ast.Constant) and node.value == text for node in nodes(parsed(path)))
    ]


def imports_within(layer: str) -> int:
    """Count the imports between modules of a layer that are in none of its folders."""
    own = {path.stem: path for path in MODULES if path.parent == PACKAGE / layer}
    start = f"amqpbroker.{layer}."
    found = {(stem, name.removeprefix(start).partition(".")[0]) for stem in own for name in imported(own[stem])}
    return sum(to in own and to != stem for stem, to in found)


def largest_circle(layer: str) -> int:
    return max((len(circle) for circle in circles(layer)), default=0)


def crossings() -> int:
    """Count calls from `store/` to the rest of the package and back, in an iteration with one persistent message."""
    with tempfile.TemporaryDirectory() as directory:
        return Persistent(Path(directory)).trace(1).crossings("store/")


def shorter(lines: int) -> int:
    return sum(len(text(path).splitlines()) < lines for path in MODULES)


def class_of(name: str, path: str) -> ast.Module:
    tree = parsed(PACKAGE / path)
    assert methods(tree, name), f"{path} has no class {name}"
    return tree


class Count(NamedTuple):
    """A row of the page.

    before: the number in the source of 2026-11-26, when `broker/` was one folder. Some numbers were counted by hand.
    """

    name: str
    before: str
    today: object


@cache
def counts() -> list[Count]:
    """Return the counts, in the order of the page."""
    queue = class_of("LocalQueue", "broker/queues/local_queue.py")
    connection = class_of("Connection", "amqp/connection.py")
    seam = class_of("Queue", "broker/queues/queue.py")
    amqp, broker, queues = below("amqp/"), below("broker/"), below("broker/queues/")
    return [
        Count("imports against the table of folders", "45", len(NOT_YET)),
        Count("modules directly in broker/", "66", sum(path.parent == PACKAGE / "broker" for path in MODULES)),
        Count("imports among the modules directly in broker/", "242", imports_within("broker")),
        Count("modules of broker/ in the largest import cycle", "59", largest_circle("broker")),
        Count("modules of amqp/ in the largest import cycle", "25", largest_circle("amqp")),
        Count("isinstance() of a store, outside the store", "2", total(asks_for_store, except_below("store/"))),
        Count("`log is None`, or of a store, a journal, a spill", "24", total(asks_whether_there, MODULES)),
        Count("tests for quorum", "39 in 16 files", total(asks_for_quorum, MODULES)),
        Count("`events.heard`", "15", total(asks_whether_heard, MODULES)),
        Count("tables with a row for the argument x-message-ttl", "4", len(holding("x-message-ttl", "broker/"))),
        Count("functions that tell the store a copy has left its queue", "6", total(settles, queues)),
        Count("files that count unacknowledged messages", "5 places", total_files(counts_unacked, MODULES)),
        Count("calls between store/ and others, persistent message", "18 by hand, 8 traced", crossings()),
        Count("files that cut bytes into frames", "6", total_files(cuts_frames, MODULES)),
        Count("files that send connection.start-ok", "2", total_files(sends_start_ok, MODULES)),
        Count("writes of Connection's fields by other files", "23 in 7 files", total(writes_connection, amqp)),
        Count("writes of another object's field, amqp/", "83 in 16 files", total(foreign_writes, amqp)),
        Count("writes of another object's field, broker/", "144 in 25 files", total(foreign_writes, broker)),
        Count("functions that write an argument's field, amqp/", "13 in 7 files", total(writes_argument, amqp)),
        Count("functions that write an argument's field, broker/", "12 in 8 files", total(writes_argument, broker)),
        Count("fields of Connection", "46", len(fields(connection, "Connection"))),
        Count("methods of Connection", "38", len(methods(connection, "Connection"))),
        Count("fields of LocalQueue", "20", len(fields(queue, "LocalQueue"))),
        Count("methods of LocalQueue", "45", len(methods(queue, "LocalQueue"))),
        Count("abstract methods of Queue", "25", abstract(seam, "Queue")),
        Count("files", "403", len(MODULES)),
        Count("files under 60 lines", "146", shorter(60)),
        Count("files under 30 lines", "62", shorter(30)),
        Count("sources without a test file of their own", "159", len(COVERED)),
    ]


def table() -> list[str]:
    """Return the layers and their folders: number of modules and lines, and allowed imports."""
    lines = []
    for layer, may in LAYERS.items():
        lines.append(row(layer, [path for path in MODULES if layer_of(path) == layer], may))
        for folder, beside in FOLDERS.get(layer, {}).items():
            lines.append(row(f"  {folder}", below(f"{layer}/{folder}/"), beside))
    return lines


def row(name: str, paths: list[Path], may: set[str]) -> str:
    size = sum(len(text(path).splitlines()) for path in paths)
    return f"{name:20}{len(paths):5}{size:7}  {', '.join(sorted(may))}".rstrip()


def joined() -> list[str]:
    """Return the import cycles, the largest first."""
    found = sorted(
        (circle for layer in LAYERS for circle in circles(layer)), key=lambda circle: (-len(circle), sorted(circle))
    )
    lines = []
    for circle in found[:SHOWN]:
        names = sorted(name.removeprefix("amqpbroker.") for name in circle)
        more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
        lines.append(f"{len(circle):4}  {', '.join(names[:NAMES])}{more}")
    if len(found) > SHOWN:
        lines.append(f"      and {len(found) - SHOWN} smaller ones")
    return lines or ["   none"]


@cache
def page() -> str:
    numbers = counts()
    name_width, before_width = (max(len(each[column]) for each in numbers) + 2 for column in (0, 1))
    return "\n".join(
        (
            f"{'layer':20}{'files':>5}{'lines':>7}  may import",
            *table(),
            "",
            "Import cycles within a layer, including imports for types",
            *joined(),
            "",
            f"{'Should become rarer':{name_width}}{'before':{before_width}}today",
            *(f"{each.name:{name_width}}{each.before:{before_width}}{each.today}" for each in numbers),
        )
    )


if __name__ == "__main__":
    print(page())
