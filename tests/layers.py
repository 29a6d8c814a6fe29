"""The state of the architecture on one page: `python -m tests.layers`.

Prints the layers with what they may import, the circles of imports, and how often the source has what is to become
less. Each of the counts is a function of a parsed module.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.sources import MODULES, PACKAGE, is_self, last_name, nodes, parsed, text
from tests.test_layers import LAYERS, NOT_YET, circles, layer_of
from tests.test_mirror import COVERED

STORES = {"Store", "MemoryStore", "Persistence"}
#: Circles that are shown; the names of a longer one are cut.
SHOWN, NAMES = 6, 8


def compares(tree: ast.AST) -> Iterator[ast.Compare]:
    return (node for node in nodes(tree) if isinstance(node, ast.Compare))


def asks_for_store(tree: ast.AST) -> int:
    """Count isinstance() of a class of the store."""
    calls = [node for node in nodes(tree) if isinstance(node, ast.Call) and names_in(node.func) == {"isinstance"}]
    return sum(any(name in STORES for name in names_in(call.args[1])) for call in calls)


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def asks_for_log(tree: ast.AST) -> int:
    """Count `log is None` and `log is not None`, also of an attribute `log`."""
    return sum(last_name(node.left) == "log" and ast.unparse(node.comparators[0]) == "None" for node in compares(tree))


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


def functions_that_write_others(tree: ast.AST) -> int:
    """Count functions outside of classes that assign to fields of an argument."""
    functions = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.FunctionDef)]
    return sum(foreign_writes(function) > 0 for function in functions)


def asks_whether_heard(tree: ast.AST) -> int:
    """Count reads of `events.heard`."""
    found = [node for node in nodes(tree) if isinstance(node, ast.Attribute) and node.attr == "heard"]
    return sum(last_name(node.value) == "events" for node in found)


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
    """The sum over the modules, and in how many of these it is not 0."""
    found = [number for path in paths if (number := count(parsed(path)))]
    return f"{sum(found)} in {len(found)} files" if found else "0"


def shorter(lines: int) -> int:
    return sum(len(text(path).splitlines()) < lines for path in MODULES)


def class_of(name: str, path: str) -> ast.Module:
    tree = parsed(PACKAGE / path)
    assert methods(tree, name), f"{path} has no class {name}"
    return tree


def counts() -> list[tuple[str, object]]:
    """What is counted, and the number or numbers."""
    queue = class_of("LocalQueue", "broker/queues/local_queue.py")
    connection = class_of("Connection", "amqp/connection.py")
    seam = class_of("Queue", "broker/queues/queue.py")
    return [
        ("imports against the table of folders", len(NOT_YET)),
        ("isinstance() of a store, outside the store", total(asks_for_store, except_below("store/"))),
        ("`log is None`", total(asks_for_log, MODULES)),
        ("tests for quorum", total(asks_for_quorum, MODULES)),
        ("tests for quorum, outside the queues", total(asks_for_quorum, except_below("broker/queues/"))),
        ("`events.heard`", total(asks_whether_heard, MODULES)),
        ("writes of another object's field, in amqp/", total(foreign_writes, below("amqp/"))),
        ("writes of another object's field, in broker/queues/", total(foreign_writes, below("broker/queues/"))),
        ("functions that write an argument's field, in amqp/", total(functions_that_write_others, below("amqp/"))),
        ("functions that write an argument's field, in broker/", total(functions_that_write_others, below("broker/"))),
        (
            "fields of Connection, methods",
            f"{len(fields(connection, 'Connection'))}, {len(methods(connection, 'Connection'))}",
        ),
        ("fields of LocalQueue, methods", f"{len(fields(queue, 'LocalQueue'))}, {len(methods(queue, 'LocalQueue'))}"),
        ("abstract methods of Queue", abstract(seam, "Queue")),
        ("modules directly in broker/", sum(path.parent == PACKAGE / "broker" for path in MODULES)),
        ("files, under 60 lines, under 30 lines", f"{len(MODULES)}, {shorter(60)}, {shorter(30)}"),
        ("sources without a test file of their own", len(COVERED)),
    ]


def table() -> list[str]:
    """The layers: how many modules and lines each has, and what it may import."""
    lines = []
    for layer, may in LAYERS.items():
        own = [path for path in MODULES if layer_of(path) == layer]
        size = sum(len(text(path).splitlines()) for path in own)
        lines.append(f"{layer:13}{len(own):5}{size:7}  {', '.join(sorted(may))}")
    return lines


def joined() -> list[str]:
    """The circles of imports, the largest first."""
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


def page() -> str:
    numbers = counts()
    width = max(len(name) for name, _ in numbers) + 2
    return "\n".join(
        (
            f"{'layer':13}{'files':>5}{'lines':>7}  may import",
            *table(),
            "",
            "Circles of imports within a layer, imports for types included",
            *joined(),
            "",
            "What is to become less",
            *(f"{name:{width}}{number}" for name, number in numbers),
        )
    )


if __name__ == "__main__":
    print(page())
